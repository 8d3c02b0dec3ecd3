// Command kubernetes holds the Kubernetes that Tidegate's tests run against, control plane and node,
// in one binary that dispatches on its first argument. One binary instead of six shares most of its
// code and is linked once.
//
// Every component ends when its standard input ends: the test harness keeps the other end of that
// pipe open, so nothing survives the process that started it, however that one died.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

const components = "etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy " +
	"kubectl service-account-key with-parent"

func main() {
	if len(os.Args) < 2 {
		fail("which component? There are " + components)
	}
	component, args := os.Args[1], os.Args[2:]
	switch component {
	case "etcd":
		exitWithStdin()
		etcdmain.Main(append([]string{component}, args...))
	case "kube-apiserver":
		exitWithStdin()
		runCommand(apiserver.NewAPIServerCommand(), component, args)
	case "kube-controller-manager":
		exitWithStdin()
		runCommand(controllermanager.NewControllerManagerCommand(), component, args)
	case "kube-scheduler":
		exitWithStdin()
		runCommand(scheduler.NewSchedulerCommand(), component, args)
	case "kubelet":
		exitWithStdin()
		runCommand(kubelet.NewKubeletCommand(context.Background()), component, args)
	case "kube-proxy":
		exitWithStdin()
		runCommand(proxy.NewProxyCommand(), component, args)
	case "kubectl":
		os.Args = append([]string{component}, args...)
		if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err)
		}
	case "service-account-key":
		serviceAccountKey(args)
	case "with-parent":
		withParent(args)
	default:
		fail(fmt.Sprintf("%q is not a component; there are %s", component, components))
	}
}

// runCommand starts a Kubernetes component as its own main() would.
func runCommand(command *cobra.Command, component string, args []string) {
	os.Args = append([]string{component}, args...)
	os.Exit(cli.Run(command))
}

// exitWithStdin ends this process when its standard input ends. A death signal (prctl) would be
// tied to the thread that started the process, and is Linux only; a pipe is neither.
func exitWithStdin() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
}

// serviceAccountKey writes the key that ServiceAccount tokens are signed and verified with.
func serviceAccountKey(args []string) {
	if len(args) != 1 {
		fail("service-account-key: which file?")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fail(err.Error())
	}
	encoded, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		fail(err.Error())
	}
	if err := os.WriteFile(args[0], encoded, 0o600); err != nil {
		fail(err.Error())
	}
}

// withParent runs a program that knows nothing of the rule above and kills it when standard input
// ends. SIGTERM is passed on, so that a graceful stop can be tested.
func withParent(args []string) {
	if len(args) == 0 {
		fail("with-parent: which program?")
	}
	child := exec.Command(args[0], args[1:]...)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if err := child.Start(); err != nil {
		fail(fmt.Sprintf("with-parent: %s does not start: %v", filepath.Base(args[0]), err))
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = child.Process.Kill()
	}()
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for received := range terminate {
			_ = child.Process.Signal(received)
		}
	}()
	_ = child.Wait()
	os.Exit(child.ProcessState.ExitCode())
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, "kubernetes: "+message)
	os.Exit(2)
}
