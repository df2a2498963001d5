// Reads a Kubernetes object as YAML on stdin and prints what kstatus, the library by which Flux, Helm and kpt
// wait for objects, makes of it: the status and, after a space, the message.
package main

import (
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		return err
	}
	object := unstructured.Unstructured{}
	if err := object.UnmarshalJSON(asJSON); err != nil { // unlike YAML's own numbers, whole ones stay whole
		return err
	}
	result, err := status.Compute(&object)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, result.Status, result.Message)
	return err
}
