// bare-device-plugin: the least a Go device plugin is. It serves eight devices that do not exist, registers once, and
// does nothing else: no discovery, no health, no metrics, no kubelet restarts. What npu-ipc's own is measured beside.
//
//	bare-device-plugin DEVICE-PLUGIN-DIRECTORY
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	v1beta1 "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	resource = "example.com/bare"
	endpoint = "bare.sock"
)

type plugin struct {
	v1beta1.UnimplementedDevicePluginServer
}

func (plugin) GetDevicePluginOptions(context.Context, *v1beta1.Empty) (*v1beta1.DevicePluginOptions, error) {
	return &v1beta1.DevicePluginOptions{}, nil
}

func (plugin) ListAndWatch(_ *v1beta1.Empty, stream v1beta1.DevicePlugin_ListAndWatchServer) error {
	list := &v1beta1.ListAndWatchResponse{}
	for i := range 8 {
		list.Devices = append(list.Devices, &v1beta1.Device{ID: fmt.Sprintf("device-%d", i), Health: v1beta1.Healthy})
	}
	if err := stream.Send(list); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func (plugin) Allocate(_ context.Context, request *v1beta1.AllocateRequest) (*v1beta1.AllocateResponse, error) {
	response := &v1beta1.AllocateResponse{}
	for range request.ContainerRequests {
		response.ContainerResponses = append(response.ContainerResponses, &v1beta1.ContainerAllocateResponse{})
	}
	return response, nil
}

func run(directory string) error {
	path := filepath.Join(directory, endpoint)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	v1beta1.RegisterDevicePluginServer(server, plugin{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	kubelet, err := grpc.NewClient("unix://"+filepath.Join(directory, "kubelet.sock"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	_, err = v1beta1.NewRegistrationClient(kubelet).Register(context.Background(),
		&v1beta1.RegisterRequest{Version: v1beta1.Version, Endpoint: endpoint, ResourceName: resource})
	if err != nil {
		return err
	}
	kubelet.Close()
	return <-served
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: bare-device-plugin DEVICE-PLUGIN-DIRECTORY")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}
