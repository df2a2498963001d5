// Command coredns is the cluster's DNS: CoreDNS with the few plugins that the Corefile of the local cluster names, in a
// module of its own because its dependencies are newer than those that Kubernetes was released with.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

func init() {
	// The order in which plugins see a query. Unlike CoreDNS's own, template comes last: it answers what is left.
	dnsserver.Directives = []string{
		"bind", "ready", "errors", "cache", "kubernetes", "template",
	}
}

func main() {
	coremain.Run()
}
