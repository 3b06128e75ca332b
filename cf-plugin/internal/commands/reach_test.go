package commands

import (
	"strings"
	"testing"
)

func TestTheCatalogTellsTheBroker(t *testing.T) {
	w := newWorld(t)
	w.hasBackups()
	w.expect("pg-backups my-db", 0, "20261124-a", "")
	if !w.sent("GET /v3/service_instances?names=my-db&space_guids=space-guid") {
		t.Errorf("asked %v", w.asked)
	}
}

func TestAnotherInstanceIsNotTakenForTheOneThatIsMeant(t *testing.T) {
	w := newWorld(t)
	w.expect("pg-backups MY-DB", 1, "FAILED", "service instance MY-DB not found in org org / space space")
	w.expect("pg-backups my-db,other", 1, "FAILED", "not found")
	if len(w.asked) != 0 {
		t.Errorf("asked %v", w.asked)
	}
}

func TestABrokerElsewhereMustBeTrusted(t *testing.T) {
	w := newWorld(t)
	w.hasBackups()
	w.offer("https://backups.invalid", "1.0")
	w.expect("pg-backups my-db", 1, "FAILED", "cf trust-pg-broker backups.invalid")
	w.expect("trust-pg-broker backups.invalid", 0, "OK", "")
	w.expect("trust-pg-broker", 0, "   backups.invalid\n", "")
	w.expect("pg-backups my-db", 1, "FAILED", "the broker cannot be reached")
	w.expect("trust-pg-broker backups.invalid --remove --json", 0, `"trusted_hosts": []`, "OK")
	w.expect("pg-backups my-db", 1, "FAILED", "cf trust-pg-broker backups.invalid")
	w.expect("pg-backups my-db --backup-api http://backups.invalid", 1, "FAILED", "not https")
	for _, each := range w.asked {
		if strings.HasPrefix(each, "GET /backups") {
			t.Errorf("asked %v", w.asked)
		}
	}
}

func TestTheUsersWordGoesBeforeTheCatalogs(t *testing.T) {
	w := newWorld(t)
	w.hasBackups()
	w.offer("https://backups.invalid", "1.0")
	w.expect("pg-backups my-db --backup-api "+w.broker.URL, 0, "20261124-a", "")
	t.Setenv("PG_BACKUP_API", w.broker.URL)
	w.expect("pg-backups my-db", 0, "20261124-a", "")
}

func TestADashboardIsAskedWithoutTheTokenWhetherItIsOurs(t *testing.T) {
	w := newWorld(t)
	w.hasBackups()
	w.answers["GET /v3/service_offerings/o"] = `{"broker_catalog": {"metadata": {}}}`
	w.expect("pg-backups my-db", 1, "FAILED", "the service of my-db does not tell where its backups are made")
	w.answers["GET /v3/service_instances"] = strings.Replace(w.answers["GET /v3/service_instances"], `"name"`,
		`"dashboard_url": "`+w.broker.URL+`/dashboard/g", "name"`, 1)
	w.expect("pg-backups my-db", 1, "FAILED", "is no broker that makes backups")
	w.answers["GET /openapi.json"] = `{"paths": {"/backup_instance/{instance_id}": {}}}`
	w.expect("pg-backups my-db", 0, "20261124-a", "")
	if !w.sent("GET /openapi.json (no token)") || w.sent("GET /backups/g (no token)") {
		t.Errorf("asked %v", w.asked)
	}
}

func TestWhatTheCloudControllerDoesNotShowTheBrokerIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.hasBackups()
	w.expect("pg-backups g --guid", 0, "20261124-a", "")
	if !w.sent("GET /v3/service_instances/g") || !w.sent("GET /v3/service_offerings?") {
		t.Errorf("asked %v", w.asked)
	}
}

func TestSeveralBrokers(t *testing.T) {
	w := newWorld(t)
	w.answers["GET /operations/op"] = `{"id": "op", "kind": "backup", "state": "succeeded", "result": ` + first + `}`
	offering := func(url string) string {
		return `{"broker_catalog": {"metadata": {"backupApi": {"url": "` + url + `", "version": "1.0"}}}}`
	}
	list := func(urls ...string) {
		offerings := make([]string, len(urls))
		for i, url := range urls {
			offerings[i] = offering(url)
		}
		w.answers["GET /v3/service_offerings"] = `{"resources": [` + strings.Join(offerings, ",") + `]}`
	}
	list("https://stranger.invalid", w.broker.URL, w.broker.URL)
	w.expect("pg-operation op", 0, "state:   succeeded", "")
	list(w.broker.URL, w.controller.URL)
	w.expect("pg-operation op", 1, "FAILED", "several brokers make backups: choose one by --backup-api")
	list()
	w.expect("pg-operation op", 1, "FAILED", "no service of the marketplace tells where its backups are made")
}

func TestTheBrokerThatIsChosenIsTheOneThatIsAsserted(t *testing.T) {
	w := newWorld(t)
	w.answers["GET /operations/op"] = running
	offerings := func(strangersVersion, version string) string {
		api := func(url, version string) string {
			return `{"broker_catalog": {"metadata": {"backupApi": {"url": "` + url + `", "version": "` + version + `"}}}}`
		}
		return `{"resources": [` + api("https://stranger.invalid", strangersVersion) + "," + api(w.broker.URL, version) + `]}`
	}
	w.answers["GET /v3/service_offerings"] = offerings("1.0", "")
	w.expect("pg-operation op", 1, "FAILED", "is no broker that makes backups")
	if w.sent("GET /operations") {
		t.Errorf("asked %v", w.asked)
	}
	w.answers["GET /v3/service_offerings"] = offerings("", "1.0")
	w.expect("pg-operation op", 0, "state:      running", "")
	if w.sent("GET /openapi.json") {
		t.Errorf("asked %v", w.asked)
	}
}

func TestANewerBackupAPI(t *testing.T) {
	w := newWorld(t)
	w.offer(w.broker.URL, "2.0")
	w.expect("pg-backups my-db", 1, "FAILED", "the broker's backup API has version 2.0, this plugin speaks 1")
}

func TestNoAddressLeadsElsewhere(t *testing.T) {
	w := newWorld(t)
	w.answers["GET /backups/g"] = "302|"
	w.expect("pg-backups my-db", 1, "FAILED", "not followed, since your token would go there")
}
