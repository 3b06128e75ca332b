//go:build unix

// in-terminal runs a program in a terminal of its own, for tests: what it is given as input is typed, what it prints
// is all that the terminal shows. It ends when the program and all that it has started are gone, with the program's
// exit code.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// As a shell it stays while the program's descendants write, and keeps the terminal open for them.
const asShell = "--as-shell"

func main() {
	run := show
	args := os.Args[1:]
	if args[0] == asShell {
		run, args = inForeground, args[1:]
	}
	code, err := run(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// show opens the terminal, with a shell in it.
func show(args []string) (int, error) {
	shell := exec.Command(os.Args[0], append([]string{asShell}, args...)...)
	terminal, err := pty.StartWithSize(shell, &pty.Winsize{Rows: 30, Cols: 100})
	if err != nil {
		return 125, err
	}
	go func() { _, _ = io.Copy(terminal, os.Stdin) }()
	// Reading ends with an error (EIO) when the last one has closed it.
	_, _ = io.Copy(os.Stdout, terminal)
	return codeOf(shell.Wait())
}

// inForeground runs the program as a shell does: in a process group of its own, to which Ctrl-C goes.
func inForeground(args []string) (int, error) {
	command := exec.Command(args[0], args[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: true, Ctty: int(os.Stdin.Fd())}
	if err := command.Start(); err != nil {
		return 125, err
	}
	code, err := codeOf(command.Wait())
	for syscall.Kill(-command.Process.Pid, 0) == nil {
		time.Sleep(10 * time.Millisecond)
	}
	return code, err
}

func codeOf(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1), nil
	}
	return 125, err
}
