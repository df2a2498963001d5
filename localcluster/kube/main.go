// Command kube is all of Kubernetes in one binary: each component runs under its own name, as `kube kubelet --flags…` or
// through a link to this binary that has the component's name. One binary of 130 MB shares what ten would each hold.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"catfish.dev/localcluster/kube/loadbalancer"
)

var components = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllers.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kube-proxy":              proxy.NewProxyCommand,
	"loadbalancer-addresses":  loadbalancer.NewCommand,
}

func main() {
	if name := filepath.Base(os.Args[0]); name != "kubectl" && components[name] == nil {
		if len(os.Args) < 2 {
			fmt.Fprintln(os.Stderr, "usage: kube COMPONENT [flags]")
			os.Exit(2)
		}
		os.Args = os.Args[1:] // each component reads its flags as if it were its own program
	}
	name := filepath.Base(os.Args[0])
	if name == "kubectl" {
		// kubectl words its own errors; cli.Run would print them a second time.
		kubectlutil.CheckErr(cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()))
		return
	}
	newCommand := components[name]
	if newCommand == nil {
		fmt.Fprintln(os.Stderr, "kube: unknown component", name)
		os.Exit(2)
	}
	os.Exit(cli.Run(newCommand()))
}
