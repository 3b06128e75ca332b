package terminal

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
)

func TestWithoutATerminalThereIsNeitherColourNorALiveLine(t *testing.T) {
	t.Setenv("CF_COLOR", "")
	t.Setenv("FORCE_TTY", "")
	var out, err bytes.Buffer
	terminal := New(strings.NewReader(""), &out, &err, Options{})
	terminal.Live("half")
	tell, end := terminal.Bar("file", 10)
	tell(5)
	end()
	terminal.Say("%s", terminal.Name("my-db"))
	terminal.OK()
	if out.String() != "my-db\nOK\n" || err.String() != "" {
		t.Errorf("got %q and %q", out.String(), err.String())
	}
}

func TestWithJSONOnlyTheDocumentIsOnStandardOutput(t *testing.T) {
	var out, err bytes.Buffer
	terminal := New(strings.NewReader("yes\n"), &out, &err, Options{JSON: true})
	terminal.Say("words")
	if sure, fault := terminal.Confirm("Really?"); !sure || fault != nil {
		t.Errorf("got %v, %v", sure, fault)
	}
	terminal.Failed("why")
	_ = terminal.Document(map[string]string{"a": "b"})
	if out.String() != "{\n  \"a\": \"b\"\n}\n" || err.String() != "words\nReally? [yN]: FAILED\nwhy\n" {
		t.Errorf("got %q and %q", out.String(), err.String())
	}
}

func TestOthersWordsDoNotSteerTheTerminal(t *testing.T) {
	var out, err bytes.Buffer
	terminal := New(strings.NewReader(""), &out, &err, Options{})
	terminal.Table([]string{"name"}, [][]string{{"a\x1b[2Jb"}})
	terminal.Fields([]Field{{"name", "\x1b]0;title\x07"}})
	terminal.Failed("bad\x1b[31m\r")
	if written := out.String() + err.String(); strings.ContainsAny(written, "\x1b\r\x07") {
		t.Errorf("got %q", written)
	}
}

func TestColumnsAreAsWideAsTheyLook(t *testing.T) {
	var out bytes.Buffer
	New(nil, &out, io.Discard, Options{}).Table([]string{"name", "x"}, [][]string{{"数据库", "1"}, {"a", "2"}})
	if out.String() != "name     x\n数据库   1\na        2\n" {
		t.Errorf("got %q", out.String())
	}
}

// onTerminal gives what is written to a terminal of so many columns.
func onTerminal(t *testing.T, columns uint16, write func(*Terminal)) string {
	t.Helper()
	t.Setenv("CF_COLOR", "")
	t.Setenv("NO_COLOR", "")
	controlling, file, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer controlling.Close()
	if err := pty.Setsize(controlling, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = file
	defer func() { os.Stdout = stdout }()
	read := make(chan string)
	go func() {
		text, _ := io.ReadAll(controlling)
		read <- string(text)
	}()
	write(Open(Options{}))
	file.Close()
	return <-read
}

func TestOnATerminalALineIsWrittenOverAndThenRemoved(t *testing.T) {
	written := onTerminal(t, 20, func(terminal *Terminal) {
		terminal.Live("dumping   12 MiB of 4 GiB   3%")
		terminal.Live("done")
		terminal.OK()
	})
	if written != "\rdumping   12 MiB o…\x1b[K\rdone\x1b[K\r\x1b[K\x1b[32;1mOK\x1b[0;22m\r\n" {
		t.Errorf("got %q", written)
	}
}

func TestOnATerminalATransferHasABar(t *testing.T) {
	written := onTerminal(t, 100, func(terminal *Terminal) {
		tell, end := terminal.Bar("my.dump", 2048)
		tell(2048)
		end()
		tell(1)
	})
	if !strings.Contains(written, "my.dump") || !strings.Contains(written, "100%") || !strings.HasSuffix(written, "\r\x1b[K") {
		t.Errorf("got %q", written)
	}
}
