package servers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"
)

// SASLListener is a listener called SASL on which a user may log in by PLAIN,
// SCRAM-SHA-256 and SCRAM-SHA-512. For SCRAM, name the same user in
// [KafkaOptions.ScramUsers].
func SASLListener(user, password string) KafkaListener {
	const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	return KafkaListener{
		Name: "SASL", Protocol: "SASL_PLAINTEXT",
		Properties: map[string]string{
			"sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
			"plain.sasl.jaas.config": fmt.Sprintf(
				"org.apache.kafka.common.security.plain.PlainLoginModule required user_%s=%q;", user, password),
			"scram-sha-256.sasl.jaas.config": scram,
			"scram-sha-512.sasl.jaas.config": scram,
		},
	}
}

// TLSListener is a listener called TLS with a certificate for 127.0.0.1 and
// localhost that is its own authority, and a pool in which clients find it.
func TLSListener() (KafkaListener, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KafkaListener{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "omnibox dev"},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return KafkaListener{}, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return KafkaListener{}, nil, err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return KafkaListener{
		Name: "TLS", Protocol: "SSL",
		Properties: map[string]string{
			"ssl.keystore.type":              "PEM",
			"ssl.keystore.certificate.chain": strings.TrimSpace(string(cert)),
			"ssl.keystore.key":               strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))),
		},
	}, pool, nil
}
