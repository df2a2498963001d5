package loadbalancer

import (
	"context"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	genericserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const fieldManager = "loadbalancer-addresses"

var (
	everything    = labels.Everything()
	updateOptions = metav1.UpdateOptions{FieldManager: fieldManager}
)

// NewCommand returns the program that runs until it is told to stop.
func NewCommand() *cobra.Command {
	var kubeconfig, addresses string
	command := &cobra.Command{
		Use:          fieldManager,
		Short:        "Give Services of type LoadBalancer an address from a pool",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			return run(genericserver.SetupSignalContext(), kubeconfig, addresses)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&addresses, "pool", "", "the addresses to give out, such as 198.18.192.0/24")
	for _, flag := range []string{"kubeconfig", "pool"} {
		if err := command.MarkFlagRequired(flag); err != nil {
			panic(err) // only when the flag above was renamed
		}
	}
	return command
}

func run(ctx context.Context, kubeconfig, addresses string) error {
	free, err := newPool(addresses)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.UserAgent = fieldManager
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	c, err := newController(client, factory, free)
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	return c.run(ctx)
}
