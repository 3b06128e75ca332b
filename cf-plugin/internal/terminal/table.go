package terminal

import (
	"fmt"
	"strings"

	"github.com/mattn/go-runewidth"
)

const gap = 3

// Table writes rows under bold headers, three spaces apart.
func (t *Terminal) Table(headers []string, rows [][]string) {
	widths := make([]int, len(headers))
	for _, row := range append([][]string{headers}, rows...) {
		for column, text := range row {
			widths[column] = max(widths[column], runewidth.StringWidth(Printable(text)))
		}
	}
	t.row(headers, widths, func(text string) string { return t.bold.Sprint(text) })
	for _, row := range rows {
		t.row(row, widths, func(text string) string { return text })
	}
}

func (t *Terminal) row(row []string, widths []int, paint func(string) string) {
	line := strings.Builder{}
	for column, text := range row {
		text = Printable(text)
		line.WriteString(paint(text))
		if column < len(row)-1 {
			line.WriteString(strings.Repeat(" ", widths[column]-runewidth.StringWidth(text)+gap))
		}
	}
	t.Say("%s", line.String())
}

// Field is a name and what it is.
type Field struct{ Name, Value string }

// Fields writes one a line. Those without a value are left out.
func (t *Terminal) Fields(fields []Field) {
	width := 0
	for _, field := range fields {
		if field.Value != "" {
			width = max(width, len(field.Name)+1)
		}
	}
	for _, field := range fields {
		if field.Value != "" {
			t.Say("%s", fmt.Sprintf("%-*s%s", width+gap, field.Name+":", Printable(field.Value)))
		}
	}
}
