// Buys a video from a workflow in Go: a child workflow that is started by its name, with plain JSON.
//
//	TEMPORAL_ADDRESS=127.0.0.1:7233 go run . '{"prompt": "waves", "duration": 4, "fps": 30, "size": "1280*720",
//	  "reference_image": "https://example.com/boat.jpg"}'
//
// With TEMPORAL_NAMESPACE it runs there, and its workflow calls the Nexus operation of the same purpose.
// Runs a worker of its own and prints what its workflow returns. Ctrl-C cancels the workflow.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const taskQueue = "trailers-in-go"

type object = map[string]any

// Trailer needs one video.
func Trailer(ctx workflow.Context, request object) (object, error) {
	var suffix string
	fresh := workflow.SideEffect(ctx, func(workflow.Context) any { return uuid.NewString() })
	if err := fresh.Get(&suffix); err != nil {
		return nil, err
	}
	child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		// After a reset the child of the first run may still hold its id. Equal requests are one purchase under any id.
		WorkflowID: workflow.GetInfo(ctx).WorkflowExecution.ID + "/video/" + suffix,
		TaskQueue:  "video-generate",
		// With this workflow's end nothing more is bought, and what is bought is kept.
		ParentClosePolicy:   enums.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
		WaitForCancellation: true,
		Memo:                object{"report_to_parent": object{"signal": "video-progress", "stages": false}},
	})
	var video object
	err := workflow.ExecuteChildWorkflow(child, "videoGenerate", request).Get(ctx, &video)
	if err == nil {
		return object{"video_url": video["video_url"], "task_id": video["task_id"]}, nil
	}
	if failure := failureOf(err); failure != nil {
		return object{"failure": failure}, nil // type, message, billed, next_step, …
	}
	if temporal.IsCanceledError(err) {
		// The last report says what became of the task, and whether it is billed.
		var progress object
		workflow.GetSignalChannel(ctx, "video-progress").ReceiveAsync(&progress)
		return object{"cancelled": progress["cancel"]}, nil
	}
	return nil, err
}

// TrailerByNexus needs one video, and runs in another namespace than the workers that make it.
func TrailerByNexus(ctx workflow.Context, request object) (object, error) {
	videos := workflow.NewNexusClient("wan-video", "wan-video")
	var video object
	err := videos.ExecuteOperation(ctx, "generate", request, workflow.NexusOperationOptions{}).Get(ctx, &video)
	if err == nil {
		return object{"video_url": video["video_url"], "task_id": video["task_id"]}, nil
	}
	if failure := failureOf(err); failure != nil {
		return object{"failure": failure}, nil
	}
	var cancelled *temporal.CanceledError
	if errors.As(err, &cancelled) && cancelled.HasDetails() {
		var outcome object
		if err := cancelled.Details(&outcome); err != nil {
			return nil, err
		}
		return object{"cancelled": outcome}, nil // outcome, task_id, billed
	}
	return nil, err
}

// failureOf is the published error object of a failure, which a child and an operation have below it; else nil.
func failureOf(err error) object {
	var failed *temporal.ApplicationError
	var failure object
	if !errors.As(err, &failed) || failed.Details(&failure) != nil {
		return nil
	}
	return failure
}

func main() {
	var request object
	if err := json.Unmarshal([]byte(os.Args[1]), &request); err != nil {
		log.Fatal(err)
	}
	namespace := os.Getenv("TEMPORAL_NAMESPACE")
	temporalClient, err := client.Dial(client.Options{HostPort: os.Getenv("TEMPORAL_ADDRESS"), Namespace: namespace})
	if err != nil {
		log.Fatal(err)
	}
	defer temporalClient.Close()
	trailers := worker.New(temporalClient, taskQueue, worker.Options{})
	trailers.RegisterWorkflow(Trailer)
	trailers.RegisterWorkflow(TrailerByNexus)
	trailer := Trailer
	if namespace != "" {
		trailer = TrailerByNexus
	}
	if err := trailers.Start(); err != nil {
		log.Fatal(err)
	}
	defer trailers.Stop()

	ctx := context.Background()
	options := client.StartWorkflowOptions{ID: "go/" + uuid.NewString(), TaskQueue: taskQueue}
	run, err := temporalClient.ExecuteWorkflow(ctx, options, trailer, request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(os.Stderr, run.GetID())
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	go func() {
		<-interrupted
		if err := temporalClient.CancelWorkflow(ctx, run.GetID(), run.GetRunID()); err != nil {
			log.Print(err)
		}
	}()
	var answer object
	if err := run.Get(ctx, &answer); err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		log.Fatal(err)
	}
}
