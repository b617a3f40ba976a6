package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"midwatch/web/auth"
)

func newUser(std stdio) *cobra.Command {
	c := &cobra.Command{
		Use:   "user",
		Short: "Say who may come in to the web interface with a password, and as what",
		Long: fmt.Sprintf(`Keep the file of users that midwatch serve --users reads: a name, a role and a hash of
the password (argon2id) each. A server that runs reads the file again when it changes:
who is removed, or gets another password, is out at once.

The roles are viewer (sees the case), analyst (besides: sees what mail holds, decides)
and responder (besides: acts against the actor). A password has at least %d
characters. It is asked for at a terminal, and is otherwise one line of standard input;
no flag takes it. docs/ACCESS.md has the whole of it.`, auth.MinPassword),
		Example: `  midwatch user add kim --users users.midwatch --role analyst
  pass show midwatch/kim | midwatch user passwd kim --users users.midwatch
  midwatch user list --users users.midwatch`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newUserAdd(std), newUserRemove(std), newUserList(std), newUserPasswd(std), newUserRole(std))
	return c
}

// usersFlag adds the flag that names the file.
func usersFlag(c *cobra.Command) *string {
	path := c.Flags().String("users", "", "file of the users")
	_ = c.MarkFlagRequired("users") // it is there
	return path
}

// roleFlag adds the flag that names a role.
func roleFlag(c *cobra.Command) *string {
	role := c.Flags().String("role", "", "viewer, analyst or responder")
	_ = c.MarkFlagRequired("role") // it is there
	return role
}

func newUserAdd(std stdio) *cobra.Command {
	var path, role *string
	c := &cobra.Command{
		Use:     "add NAME",
		Short:   "Add a user; the file is made if it is not there",
		Example: `  midwatch user add kim --users users.midwatch --role responder`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := auth.ParseRole(*role)
			if err != nil {
				return fmt.Errorf("--role: %w", err)
			}
			if err := auth.CheckName(args[0]); err != nil {
				return err
			}
			password, err := askPassword(c.Context(), std, args[0])
			if err != nil {
				return err
			}
			if err := auth.AddUser(c.Context(), *path, args[0], r, password); err != nil {
				return err
			}
			_, err = fmt.Fprintf(std.out, "%s is a user, with the role %s\n", args[0], r)
			return err
		},
	}
	path, role = usersFlag(c), roleFlag(c)
	return c
}

func newUserPasswd(std stdio) *cobra.Command {
	var path *string
	c := &cobra.Command{
		Use:     "passwd NAME",
		Short:   "Give a user another password; their sessions end",
		Example: `  midwatch user passwd kim --users users.midwatch`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := userExists(*path, args[0]); err != nil {
				return err
			}
			password, err := askPassword(c.Context(), std, args[0])
			if err != nil {
				return err
			}
			if err := auth.ChangeUser(c.Context(), *path, args[0], 0, password); err != nil {
				return err
			}
			_, err = fmt.Fprintf(std.out, "%s has another password\n", args[0])
			return err
		},
	}
	path = usersFlag(c)
	return c
}

func newUserRole(std stdio) *cobra.Command {
	var path, role *string
	c := &cobra.Command{
		Use:     "role NAME",
		Short:   "Give a user another role, which holds at once",
		Example: `  midwatch user role kim --users users.midwatch --role viewer`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := auth.ParseRole(*role)
			if err != nil {
				return fmt.Errorf("--role: %w", err)
			}
			if err := auth.ChangeUser(c.Context(), *path, args[0], r, ""); err != nil {
				return err
			}
			_, err = fmt.Fprintf(std.out, "%s has the role %s\n", args[0], r)
			return err
		},
	}
	path, role = usersFlag(c), roleFlag(c)
	return c
}

func newUserRemove(std stdio) *cobra.Command {
	var path *string
	c := &cobra.Command{
		Use:     "remove NAME",
		Short:   "Remove a user; their sessions end",
		Example: `  midwatch user remove kim --users users.midwatch`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := auth.RemoveUser(c.Context(), *path, args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(std.out, "%s is no user any more\n", args[0])
			return err
		},
	}
	path = usersFlag(c)
	return c
}

func newUserList(std stdio) *cobra.Command {
	var path *string
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "Show the users and their roles",
		Example: `  midwatch user list --users users.midwatch --json | jq '.[] | select(.role == "responder")'`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			users, err := auth.ListUsers(*path)
			if err != nil {
				return err
			}
			type row struct {
				Name string    `json:"name"`
				Role auth.Role `json:"role"`
			}
			rows := make([]row, 0, len(users))
			for _, u := range users {
				rows = append(rows, row{u.Name, u.Role})
			}
			if asJSON {
				return printJSON(std, rows)
			}
			tw := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
			for _, r := range rows {
				fmt.Fprintf(tw, "%s\t%s\n", r.Name, r.Role)
			}
			return tw.Flush()
		},
	}
	path = usersFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// userExists is asked before a person types a password for nothing.
func userExists(path, name string) error {
	users, err := auth.ListUsers(path)
	if err != nil {
		return err
	}
	for _, u := range users {
		if u.Name == name {
			return nil
		}
	}
	return fmt.Errorf("%s has no user %.40q; `midwatch user list` shows them", path, name)
}

// askPassword asks a person twice, without showing what they type, or reads one
// line of what is no terminal.
func askPassword(ctx context.Context, std stdio, name string) (string, error) {
	f, ok := std.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(std.in, 8<<10)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line == "" {
			return "", errors.New("there is no password; give it as one line of standard input, or run this at a terminal")
		}
		return line, auth.CheckPassword(name, line)
	}
	var typed [2]string
	for i, prompt := range []string{fmt.Sprintf("Password for %s: ", name), "The same again: "} {
		fmt.Fprint(std.err, prompt)
		s, err := readHidden(ctx, f)
		fmt.Fprintln(std.err)
		if err != nil {
			return "", err
		}
		if err := auth.CheckPassword(name, s); i == 0 && err != nil {
			return "", err
		}
		typed[i] = s
	}
	if typed[0] != typed[1] {
		return "", errors.New("the two are not the same; nothing was changed")
	}
	return typed[0], nil
}

// readHidden reads a line that is not shown. A person who gives up leaves a
// terminal that shows again what they type.
func readHidden(ctx context.Context, f *os.File) (string, error) {
	state, err := term.GetState(int(f.Fd()))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	type result struct {
		line []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := term.ReadPassword(int(f.Fd()))
		done <- result{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), term.Restore(int(f.Fd()), state))
	case r := <-done:
		if r.err != nil {
			return "", fmt.Errorf("read the password: %w", r.err)
		}
		return string(r.line), nil
	}
}
