package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/spf13/pflag"

	"midwatch/report"
)

// graphAccess says where Microsoft Graph is and who signs in.
type graphAccess struct {
	cloud     string
	endpoint  string
	authority string
	auth      string
}

func (g *graphAccess) add(f *pflag.FlagSet) {
	f.StringVar(&g.auth, "auth", "", "who signs in: env (AZURE_CLIENT_ID and its secret or certificate), cli (Azure CLI), device (a code)")
	f.StringVar(&g.cloud, "cloud", "public", "cloud of the tenants: public, usgov, usdod, china")
	f.StringVar(&g.endpoint, "graph-endpoint", "", "address of Microsoft Graph in another cloud")
	f.StringVar(&g.authority, "authority", "", "address that gives tokens in another cloud")
}

// place returns the addresses of a cloud
// (https://learn.microsoft.com/graph/deployments).
func (g *graphAccess) place() (graph, authority string, err error) {
	switch g.cloud {
	case "public":
		graph, authority = "https://graph.microsoft.com", "https://login.microsoftonline.com/"
	case "usgov":
		graph, authority = "https://graph.microsoft.us", "https://login.microsoftonline.us/"
	case "usdod":
		graph, authority = "https://dod-graph.microsoft.us", "https://login.microsoftonline.us/"
	case "china":
		graph, authority = "https://microsoftgraph.chinacloudapi.cn", "https://login.chinacloudapi.cn/"
	default:
		return "", "", fmt.Errorf("--cloud is public, usgov, usdod or china, not %q", g.cloud)
	}
	if (g.endpoint == "") != (g.authority == "") {
		return "", "", errors.New("--graph-endpoint and --authority belong together")
	}
	if g.endpoint != "" {
		graph, authority = strings.TrimSuffix(g.endpoint, "/"), g.authority
	}
	for _, a := range []string{graph, authority} {
		if u, err := url.Parse(a); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			return "", "", fmt.Errorf("%s is no https address of a service, without a password in it", report.Plain(withoutPassword(a)))
		}
	}
	return graph, authority, nil
}

// signedIn gives tokens, by a credential a tenant.
type signedIn struct {
	scope string
	make  func(tenant string) (azcore.TokenCredential, error)
	have  map[string]azcore.TokenCredential
}

// Token implements [graph.Tokens]. Credentials keep tokens until they expire.
func (s *signedIn) Token(ctx context.Context, tenant string) (string, error) {
	return s.tokenFor(ctx, tenant, s.scope)
}

// tokenFor gives a token of a service, by its scope.
func (s *signedIn) tokenFor(ctx context.Context, tenant, scope string) (string, error) {
	if s.have[tenant] == nil {
		c, err := s.make(tenant)
		if err != nil {
			return "", err
		}
		s.have[tenant] = c
	}
	t, err := s.have[tenant].GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}, TenantID: tenant})
	if err != nil {
		// The library's text has the request and the answer on many lines.
		text, _, _ := strings.Cut(err.Error(), "\n")
		return "", errors.New(report.Plain(text))
	}
	return t.Token, nil
}

// connect chooses how to sign in.
func (g *graphAccess) connect(std stdio) (*signedIn, string, error) {
	base, authority, err := g.place()
	if err != nil {
		return nil, "", err
	}
	options := azcore.ClientOptions{Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: authority}}
	own := g.authority != "" // not one that Microsoft's list of clouds has
	s := &signedIn{scope: base + "/.default", have: map[string]azcore.TokenCredential{}}
	id := os.Getenv("AZURE_CLIENT_ID")
	auth := g.auth
	if auth == "" {
		if auth = "cli"; id != "" {
			auth = "env"
		}
	}
	switch auth {
	case "env":
		secret, path := os.Getenv("AZURE_CLIENT_SECRET"), os.Getenv("AZURE_CLIENT_CERTIFICATE_PATH")
		if id == "" || secret == "" && path == "" {
			return nil, "", errors.New("--auth env wants AZURE_CLIENT_ID, and AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH")
		}
		s.make = func(tenant string) (azcore.TokenCredential, error) {
			if secret != "" {
				return azidentity.NewClientSecretCredential(tenant, id, secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: own})
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("the certificate: %w", err)
			}
			certs, key, err := azidentity.ParseCertificates(b, []byte(os.Getenv("AZURE_CLIENT_CERTIFICATE_PASSWORD")))
			if err != nil {
				return nil, fmt.Errorf("the certificate %s: %w", path, err)
			}
			return azidentity.NewClientCertificateCredential(tenant, id, certs, key, &azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: own})
		}
	case "cli":
		s.make = func(tenant string) (azcore.TokenCredential, error) {
			return azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: tenant})
		}
	case "device":
		if id == "" {
			return nil, "", errors.New("--auth device wants AZURE_CLIENT_ID: an application of the organization that may sign people in")
		}
		s.make = func(tenant string) (azcore.TokenCredential, error) {
			return azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{
				ClientOptions: options, TenantID: tenant, ClientID: id, DisableInstanceDiscovery: own,
				UserPrompt: func(_ context.Context, m azidentity.DeviceCodeMessage) error {
					_, err := fmt.Fprintln(std.err, "midwatch:", report.Plain(m.Message))
					return err
				},
			})
		}
	default:
		return nil, "", fmt.Errorf("--auth is env, cli or device, not %q", auth)
	}
	return s, base, nil
}

// withoutPassword is an address as it may be shown.
func withoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the address"
	}
	return u.Redacted()
}
