// Package controller asks the Cloud Controller (API v3) for service instances and for the backup API of their broker.
package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"postgresql-broker/cf-plugin/internal/rest"
)

// Controller is the Cloud Controller that cf is logged in to.
type Controller struct{ rest *rest.Client }

// New takes a client whose base is the Cloud Controller's address.
func New(client *rest.Client) *Controller { return &Controller{client} }

// Instance is a managed service instance.
type Instance struct {
	GUID         string `json:"guid"`
	Name         string `json:"name"`
	Type         string `json:"type"`
	DashboardURL string `json:"dashboard_url"`
	// Relationships of the resource: its plan.
	Relationships relationships `json:"relationships"`
}

// BackupAPI is what a broker says in its catalog of the API under which backups are made.
type BackupAPI struct {
	URL     string `json:"url"`
	Version string `json:"version"`
}

type relationships struct {
	ServicePlan     relationship `json:"service_plan"`
	ServiceOffering relationship `json:"service_offering"`
}

type relationship struct {
	Data struct {
		GUID string `json:"guid"`
	} `json:"data"`
}

type offering struct {
	Name          string `json:"name"`
	BrokerCatalog struct {
		Metadata struct {
			BackupAPI *BackupAPI `json:"backupApi"`
		} `json:"metadata"`
	} `json:"broker_catalog"`
}

type page[T any] struct {
	Pagination struct {
		TotalPages int `json:"total_pages"`
	} `json:"pagination"`
	Resources []T `json:"resources"`
}

// ByName finds an instance of the space; nil where there is none.
func (c *Controller) ByName(ctx context.Context, name, spaceGUID string) (*Instance, error) {
	if strings.Contains(name, ",") {
		// The API would take it for a list of names.
		return nil, nil
	}
	var found page[Instance]
	query := url.Values{"names": {name}, "space_guids": {spaceGUID}}
	if err := c.rest.Get(ctx, "/v3/service_instances", query, &found); err != nil {
		return nil, err
	}
	for _, instance := range found.Resources {
		if instance.Name == name {
			return managed(&instance)
		}
	}
	return nil, nil
}

// ByGUID finds an instance; nil where there is none, or none that the user may see.
func (c *Controller) ByGUID(ctx context.Context, guid string) (*Instance, error) {
	var instance Instance
	err := c.rest.Get(ctx, "/v3/service_instances/"+url.PathEscape(guid), nil, &instance)
	var refusal *rest.Refusal
	if errors.As(err, &refusal) && refusal.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return managed(&instance)
}

func managed(instance *Instance) (*Instance, error) {
	if instance.Type == "user-provided" {
		return nil, fmt.Errorf("%s is a user-provided service instance: no broker keeps backups of it", instance.Name)
	}
	return instance, nil
}

// BackupAPIOf reads it from the catalog of the instance's broker; nil where that says nothing of one.
func (c *Controller) BackupAPIOf(ctx context.Context, instance *Instance) (*BackupAPI, error) {
	var plan struct {
		Relationships relationships `json:"relationships"`
	}
	path := "/v3/service_plans/" + url.PathEscape(instance.Relationships.ServicePlan.Data.GUID)
	if err := c.rest.Get(ctx, path, nil, &plan); err != nil {
		return nil, err
	}
	var of offering
	path = "/v3/service_offerings/" + url.PathEscape(plan.Relationships.ServiceOffering.Data.GUID)
	if err := c.rest.Get(ctx, path, nil, &of); err != nil {
		return nil, err
	}
	return of.BrokerCatalog.Metadata.BackupAPI, nil
}

// BackupAPIs are those of all service offerings that the user sees, each once.
func (c *Controller) BackupAPIs(ctx context.Context) ([]BackupAPI, error) {
	var apis []BackupAPI
	for number := 1; ; number++ {
		var offerings page[offering]
		query := url.Values{"per_page": {"200"}, "page": {fmt.Sprint(number)}}
		if err := c.rest.Get(ctx, "/v3/service_offerings", query, &offerings); err != nil {
			return nil, err
		}
		for _, each := range offerings.Resources {
			api := each.BrokerCatalog.Metadata.BackupAPI
			if api != nil && api.URL != "" && !slices.Contains(apis, *api) {
				apis = append(apis, *api)
			}
		}
		if number >= offerings.Pagination.TotalPages {
			return apis, nil
		}
	}
}
