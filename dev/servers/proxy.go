package servers

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// ProxyOptions says where a proxy listens and where it leads.
type ProxyOptions struct {
	// Port to listen on. Defaults to a free one.
	Port int
	// Upstream is the host and port that connections go on to.
	Upstream string
}

// Proxy is a TCP proxy that can be broken. What is slow or stalled applies to
// connections that exist and to new ones.
type Proxy struct {
	proxy *toxiproxy.Proxy
}

// StartProxy starts a proxy; it works until it is told otherwise.
func StartProxy(o ProxyOptions) (*Proxy, error) {
	port, err := freePort(o.Port)
	if err != nil {
		return nil, err
	}
	// The library wants a server to belong to, but not that it listens.
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := &Proxy{toxiproxy.NewProxy(server, "proxy", local(port), o.Upstream)}
	if err := p.proxy.Start(); err != nil {
		return nil, fmt.Errorf("start proxy: %w", err)
	}
	return p, nil
}

// Address is the host and port of the proxy.
func (p *Proxy) Address() string { return p.proxy.Listen }

// Cut closes every connection and refuses new ones.
func (p *Proxy) Cut() { p.proxy.Stop() }

// Restore accepts connections again after Cut.
func (p *Proxy) Restore() error {
	p.proxy.Lock()
	enabled := p.proxy.Enabled
	p.proxy.Unlock()
	if enabled {
		return nil
	}
	return p.proxy.Start()
}

// Latency delays what the server sends, by d give or take jitter.
func (p *Proxy) Latency(d, jitter time.Duration) error {
	return p.toxic("latency", "downstream", map[string]int64{"latency": d.Milliseconds(), "jitter": jitter.Milliseconds()})
}

// Bandwidth limits both directions to so many kilobytes a second.
func (p *Proxy) Bandwidth(kilobytes int64) error {
	return p.both("bandwidth", map[string]int64{"rate": kilobytes})
}

// Stall lets nothing pass in either direction, while connections stay open.
func (p *Proxy) Stall() error { return p.both("timeout", map[string]int64{"timeout": 0}) }

// StallReplies lets requests pass and holds back every reply: the outcome of what
// a client sends is unknown to it.
func (p *Proxy) StallReplies() error {
	return p.toxic("timeout", "downstream", map[string]int64{"timeout": 0})
}

// Heal ends latency, limits and stalls. Connections that were stalled are closed,
// since what they carried is lost.
func (p *Proxy) Heal(ctx context.Context) { p.proxy.Toxics.ResetToxics(ctx) }

// Close stops the proxy.
func (p *Proxy) Close() error {
	p.proxy.Stop()
	return nil
}

func (p *Proxy) both(kind string, attributes map[string]int64) error {
	if err := p.toxic(kind, "upstream", attributes); err != nil {
		return err
	}
	return p.toxic(kind, "downstream", attributes)
}

func (p *Proxy) toxic(kind, direction string, attributes map[string]int64) error {
	b, err := json.Marshal(map[string]any{"type": kind, "stream": direction, "attributes": attributes})
	if err != nil {
		return err
	}
	if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(string(b))); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}
