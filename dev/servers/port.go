package servers

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are chosen below the ephemeral range (32768 on Linux). A port inside it
// may be taken as the source port of somebody's connection while a server is
// down for a restart.
const (
	firstPort = 20000
	lastPort  = 32000
)

var taken = struct {
	sync.Mutex
	ports map[int]bool
}{ports: map[int]bool{}}

// FreePort returns a TCP port of 127.0.0.1 that is free now and that this
// program has not been given before.
func FreePort() (int, error) {
	taken.Lock()
	defer taken.Unlock()
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if taken.ports[port] {
			continue
		}
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			continue
		}
		taken.ports[port] = true
		return port, l.Close()
	}
	return 0, errors.New("no free port found")
}

// freePort returns port, or a free one if it is 0.
func freePort(port int) (int, error) {
	if port != 0 {
		return port, nil
	}
	return FreePort()
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
