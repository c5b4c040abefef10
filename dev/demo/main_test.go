package demo

import (
	"os"
	"testing"

	"github.com/omnibox-go/omnibox/dev/demo/billing"
	"github.com/omnibox-go/omnibox/dev/devtest"
)

// TestMain is the second service too, as the demo's own program is.
func TestMain(m *testing.M) {
	if code, was := billing.Main(os.Stderr); was {
		os.Exit(code)
	}
	devtest.Main(m)
}
