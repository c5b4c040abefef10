package kafka

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConfigReportsEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(notPEM, []byte("nothing"), 0o600))
	err := (&Config{
		Addresses: []string{"localhost", "localhost:9092"}, Compression: "zip", Version: "0.8",
		DialTimeout: -1, RequestTimeout: time.Microsecond,
		TLS: &TLS{CAFile: notPEM, CertFile: "cert.pem"}, SASL: &SASL{Mechanism: "GSSAPI"},
	}).Validate()
	for _, want := range []string{
		`addresses: "localhost" is not host:port`, `compression: "zip"`, `version: "0.8"`, "dial_timeout:", "request_timeout:",
		"tls.ca: no certificate", "tls: cert and key", `sasl.mechanism: "GSSAPI"`, "sasl.username:", "sasl.password:",
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "localhost:9092")
	require.ErrorContains(t, (&Config{}).Validate(), "addresses: is required")
	require.NoError(t, (&Config{Addresses: []string{"localhost:9092"}}).Validate())
	_, err = Dial(Config{}, nil)
	require.ErrorContains(t, err, "kafka: addresses")
}
