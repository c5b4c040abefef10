package demo

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestScreenKeepsTheLiveLineLast(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{out: &out, terminal: true}
	s.live("1 order")
	s.good("done")
	s.live("")
	require.Equal(t, "\x1b[2m  1 order\x1b[0m"+
		"\r\x1b[2K  \x1b[32m✓\x1b[0m done\n"+
		"\x1b[2m  1 order\x1b[0m"+
		"\r\x1b[2K", out.String())
}

func TestScreenIsPlainWithoutATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{out: &out}
	s.live("1 order")
	s.title("Act")
	s.bad("%d lost", 1)
	require.Equal(t, "\nAct\n  ✗ 1 lost\n", out.String())
}

func TestPasswordsOfOthersAreNotShown(t *testing.T) {
	t.Parallel()
	const given = "postgres://app:s3cret@db:5432/demo_x?password=s3cret&sslmode=disable"
	for _, c := range []struct{ external, shown string }{
		{given, "postgres://app:PASSWORD@db:5432/demo_x?password=PASSWORD&sslmode=disable"},
		{"", given}, // the demo's own server
	} {
		var out bytes.Buffer
		s := &screen{out: &out}
		sh := &show{screen: s, stack: &stack{databaseURL: given, options: Options{DatabaseURL: c.external}}}
		sh.commands("status")
		require.Contains(t, out.String(), "OMNIBOX_DATABASE_URL='"+c.shown+"'")
	}
	require.Equal(t, "postgres://app@db/demo_x", withoutPasswords("postgres://app@db/demo_x"), "works as it is")
}
