package main

import (
	"cmp"
	"net"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"

	"github.com/omnibox-go/omnibox/worker"
	"github.com/omnibox-go/omnibox/worker/config"
	"github.com/omnibox-go/omnibox/workflows"
)

// devUI is where Temporal's development server shows its workflows.
const devUI = "http://localhost:8233"

// temporal says where people see workflows, and speak to them.
type temporal struct {
	address, namespace string
	ui                 string // empty: nobody knows
	prefix             string
}

// newTemporal makes do with what the configuration says where Temporal's own
// variables cannot be read: doctor names that mistake.
func newTemporal(cfg config.Temporal) temporal {
	options, _ := worker.TemporalOptions(cfg)
	t := temporal{address: options.HostPort, namespace: options.Namespace, prefix: cfg.IDPrefix, ui: strings.TrimRight(cfg.UI, "/")}
	host, _, err := net.SplitHostPort(t.address)
	if ip := net.ParseIP(host); t.ui == "" && err == nil && (host == "localhost" || ip != nil && ip.IsLoopback()) {
		t.ui = devUI
	}
	return t
}

// workflowView is the workflow of an event as JSON.
type workflowView struct {
	ID string `json:"id"`
	// URL is empty where the UI's address is not known.
	URL string `json:"url,omitempty"`
}

// event is the workflow of an event, if it has one.
func (t temporal) event(pipeline string, id uuid.UUID) workflowView {
	v := workflowView{ID: workflows.EventID(t.prefix, pipeline, id.String())}
	if t.ui != "" {
		v.URL = t.ui + "/namespaces/" + url.PathEscape(t.namespace) + "/workflows/" + url.PathEscape(v.ID)
	}
	return v
}

// show is the link or, without one, the id.
func (v workflowView) show() string { return cmp.Or(v.URL, v.ID) }

// signal is the command that sends a person's signal to a workflow.
func (t temporal) signal(v workflowView, name string) string {
	return t.command("workflow signal", "--workflow-id", v.ID, "--name", name, "--input", `{"by":"you"}`)
}

// command is one of Temporal's own, for this server and namespace.
func (t temporal) command(verb string, flags ...string) string {
	words := []string{"temporal " + verb}
	if t.address != client.DefaultHostPort {
		words = append(words, "--address", quote(t.address))
	}
	if t.namespace != client.DefaultNamespace {
		words = append(words, "--namespace", quote(t.namespace))
	}
	for _, flag := range flags {
		words = append(words, quote(flag))
	}
	return strings.Join(words, " ")
}

// quote makes one word of text for a shell.
func quote(text string) string {
	if text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
