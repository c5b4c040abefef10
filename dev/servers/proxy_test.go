package servers_test

import (
	"bufio"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox/dev/servers"
)

func startProxy(t *testing.T, o servers.ProxyOptions) *servers.Proxy {
	t.Helper()
	p, err := servers.StartProxy(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// echo is a server that sends back each line.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for s := bufio.NewScanner(c); s.Scan(); {
					if _, err := c.Write(append(s.Bytes(), '\n')); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func ask(c net.Conn, wait time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("hello\n")); err != nil {
		return err
	}
	_, err := bufio.NewReader(c).ReadString('\n')
	return err
}

func TestProxyBreaksAndHeals(t *testing.T) {
	t.Parallel()
	p := startProxy(t, servers.ProxyOptions{Upstream: echo(t)})
	dial := func() net.Conn {
		c, err := net.Dial("tcp", p.Address())
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := dial()
	require.NoError(t, ask(c, 10*time.Second))

	p.Cut()
	require.Error(t, ask(c, 10*time.Second))
	_, err := net.Dial("tcp", p.Address())
	require.Error(t, err)
	require.NoError(t, p.Restore())
	require.NoError(t, p.Restore())
	c = dial()
	require.NoError(t, ask(c, 10*time.Second))

	require.NoError(t, p.Latency(200*time.Millisecond, 0))
	began := time.Now()
	require.NoError(t, ask(c, 10*time.Second))
	require.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond)
	p.Heal(t.Context())

	require.NoError(t, p.Stall())
	require.Error(t, ask(dial(), 200*time.Millisecond))
	p.Heal(t.Context())
	require.NoError(t, p.Bandwidth(1000))
	require.NoError(t, ask(dial(), 10*time.Second))
}
