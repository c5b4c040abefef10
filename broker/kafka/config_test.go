package kafka

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
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
		"tls.ca_file: no certificate", "cert_file and key_file", `sasl.mechanism: "GSSAPI"`, "sasl.user:", "sasl.password:",
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "localhost:9092")
	require.ErrorContains(t, (&Config{}).Validate(), "addresses: at least one broker")
	require.NoError(t, (&Config{Addresses: []string{"localhost:9092"}}).Validate())
	_, err = Dial(Config{}, nil)
	require.ErrorContains(t, err, "kafka: addresses")
}

func TestConfigIsReadFromYAML(t *testing.T) {
	t.Parallel()
	var c Config
	require.NoError(t, yaml.NewDecoder(strings.NewReader(`
addresses: ["a:1", "b:2"]
client_id: me
compression: zstd
version: 3.6.0
dial_timeout: 1s
request_timeout: 1500ms
tls: { ca_file: ca, cert_file: cert, key_file: key, server_name: name, insecure_skip_verify: true }
sasl: { mechanism: PLAIN, user: u, password: p }
`), yaml.DisallowUnknownField()).Decode(&c))
	require.Equal(t, Config{
		Addresses: []string{"a:1", "b:2"}, ClientID: "me", Compression: "zstd", Version: "3.6.0",
		DialTimeout: time.Second, RequestTimeout: 1500 * time.Millisecond,
		TLS:  &TLS{CAFile: "ca", CertFile: "cert", KeyFile: "key", ServerName: "name", InsecureSkipVerify: true},
		SASL: &SASL{Mechanism: "PLAIN", User: "u", Password: "p"},
	}, c)
}
