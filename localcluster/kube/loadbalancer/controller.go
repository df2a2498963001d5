// Package loadbalancer gives Services of type LoadBalancer an address from a pool. kube-proxy serves whatever address
// the status names, so on a cluster without a cloud setting the status is all that is missing.
package loadbalancer

import (
	"context"
	"fmt"
	"net/netip"
	"sort"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// controller has one worker, so the pool needs no lock.
type controller struct {
	client   kubernetes.Interface
	services corelisters.ServiceLister
	synced   cache.InformerSynced
	queue    workqueue.TypedRateLimitingInterface[string]
	pool     *pool
}

func newController(client kubernetes.Interface, factory informers.SharedInformerFactory, addresses *pool) (*controller, error) {
	informer := factory.Core().V1().Services()
	c := &controller{
		client:   client,
		services: informer.Lister(),
		synced:   informer.Informer().HasSynced,
		pool:     addresses,
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, 30*time.Second)),
	}
	enqueue := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			c.queue.Add(key)
		}
	}
	_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, current any) { enqueue(current) },
		DeleteFunc: enqueue,
	})
	return c, err
}

// run works until the context ends. Nothing is allocated before every address in use is known: addresses live in the
// Services' statuses alone, so a restart finds each one where it was.
func (c *controller) run(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), c.synced) {
		return fmt.Errorf("stopped before the Services were listed")
	}
	if err := c.adopt(); err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		c.queue.ShutDown()
	}()
	for c.next(ctx) {
	}
	return nil
}

// adopt claims the addresses that are in use; of two Services with one address the older keeps it.
func (c *controller) adopt() error {
	services, err := c.services.List(everything)
	if err != nil {
		return err
	}
	sort.Slice(services, func(i, j int) bool {
		a, b := services[i], services[j]
		if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
			return a.UID < b.UID
		}
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	})
	for _, service := range services {
		if wants(service) {
			c.pool.claim(keyOf(service), addressOf(service))
		}
	}
	return nil
}

func (c *controller) next(ctx context.Context) bool {
	key, stopped := c.queue.Get()
	if stopped {
		return false
	}
	defer c.queue.Done(key)
	if err := c.sync(ctx, key); err != nil {
		if !apierrors.IsConflict(err) {
			klog.ErrorS(err, "Address not set, will try again", "service", key)
		}
		c.queue.AddRateLimited(key)
		return true
	}
	c.queue.Forget(key)
	return true
}

func (c *controller) sync(ctx context.Context, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	service, err := c.services.Services(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		c.release(key)
		return nil
	}
	if err != nil {
		return err
	}
	if !wants(service) {
		c.release(key)
		return c.clear(ctx, service)
	}
	return c.assign(ctx, service)
}

func (c *controller) assign(ctx context.Context, service *corev1.Service) error {
	key := keyOf(service)
	if current := addressOf(service); current.IsValid() && c.pool.claim(key, current) {
		return nil
	}
	address, ok := c.pool.allocate(key)
	if !ok {
		return fmt.Errorf("all addresses of %s are in use", c.pool.prefix)
	}
	mode := corev1.LoadBalancerIPModeVIP
	return c.write(ctx, service, []corev1.LoadBalancerIngress{{IP: address.String(), IPMode: &mode}})
}

// clear takes our address off a Service that is no LoadBalancer any more; another controller's address stays.
func (c *controller) clear(ctx context.Context, service *corev1.Service) error {
	if service.Spec.LoadBalancerClass != nil || !c.pool.usable(addressOf(service)) {
		return nil
	}
	return c.write(ctx, service, nil)
}

func (c *controller) write(ctx context.Context, service *corev1.Service, ingress []corev1.LoadBalancerIngress) error {
	changed := service.DeepCopy()
	changed.Status.LoadBalancer.Ingress = ingress
	_, err := c.client.CoreV1().Services(service.Namespace).UpdateStatus(ctx, changed, updateOptions)
	if err == nil {
		klog.InfoS("Address set", "service", keyOf(service), "address", addressOf(changed))
	}
	return err
}

// release frees the key's address and wakes the Services that wait for one.
func (c *controller) release(key string) {
	if !c.pool.release(key) {
		return
	}
	services, err := c.services.List(everything)
	if err != nil {
		return
	}
	for _, service := range services {
		if wants(service) && !addressOf(service).IsValid() {
			c.queue.Add(keyOf(service))
		}
	}
}

// wants says whether the Service is ours to serve: one with a class belongs to that class's controller.
func wants(service *corev1.Service) bool {
	return service.Spec.Type == corev1.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil
}

func keyOf(service *corev1.Service) string { return service.Namespace + "/" + service.Name }

// addressOf is the Service's first address; the zero Addr, which is not valid, when it has none.
func addressOf(service *corev1.Service) netip.Addr {
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if address, err := netip.ParseAddr(ingress.IP); err == nil {
			return address
		}
	}
	return netip.Addr{}
}
