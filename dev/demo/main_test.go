package demo

import (
	"testing"

	"github.com/omnibox-go/omnibox/dev/devtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }
