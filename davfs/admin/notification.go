package admin

import (
	"encoding/json"
	"errors"
	"fmt"
)

// A change is what a notification says has changed: a tag of a repository, or a digest or "" where no more is known.
type change struct{ repository, reference string }

// parseNotification reads what registries send: the envelope of distribution's notifications
// (application/vnd.docker.distribution.events.v1+json), Harbor's webhook in its own format, or a CloudEvent of Harbor's or
// zot's. ceType is the header Ce-Type, by which a CloudEvent in binary mode says what its body is. What is none of them
// is an error; events that change no name (pulls, blobs, scans) give no changes.
func parseNotification(ceType string, body []byte) ([]change, error) {
	var n struct {
		Events *[]distributionEvent `json:"events"`

		Type      string      `json:"type"` // Harbor's or a CloudEvent's
		EventData harborEvent `json:"event_data"`

		SpecVersion string          `json:"specversion"`
		Data        json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &n); err != nil {
		return nil, fmt.Errorf("the notification is no JSON object of a known kind: %w", err)
	}
	var changes changes
	switch {
	case ceType != "":
		return parseCloudEvent(ceType, body)
	case n.Events != nil:
		for _, e := range *n.Events {
			changes.addDistribution(e)
		}
	case n.SpecVersion != "" && n.Type != "":
		return parseCloudEvent(n.Type, n.Data)
	case n.Type != "":
		changes.addHarbor(n.Type, n.EventData)
	default:
		return nil, errors.New(`the notification has neither "events" (distribution) nor "type" (Harbor, CloudEvents)`)
	}
	return changes.list, nil
}

// parseCloudEvent reads the data of a CloudEvent of that type.
func parseCloudEvent(eventType string, data []byte) ([]change, error) {
	var d struct {
		harborEvent
		Name      string `json:"name"` // zot's
		Reference string `json:"reference"`
	}
	if len(data) > 0 {
		if err := json.Unmarshal(data, &d); err != nil {
			return nil, fmt.Errorf("the data of the event %q is not what was expected: %w", eventType, err)
		}
	}
	var changes changes
	switch eventType {
	case "harbor.artifact.pushed":
		changes.addHarbor(harborPushed, d.harborEvent)
	case "harbor.artifact.deleted":
		changes.addHarbor(harborDeleted, d.harborEvent)
	case "zotregistry.image.updated", "zotregistry.image.deleted":
		changes.add(d.Name, d.Reference)
	case "zotregistry.repository.created":
		changes.add(d.Name, "")
	}
	return changes.list, nil
}

// distributionEvent is one of distribution's (notifications/event.go there).
type distributionEvent struct {
	Action string `json:"action"`
	Target struct {
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
		Digest     string `json:"digest"`
	} `json:"target"`
}

// harborEvent is the event_data of Harbor's webhook, and the data of its CloudEvents.
type harborEvent struct {
	Resources []struct {
		Digest string `json:"digest"`
		Tag    string `json:"tag"`
	} `json:"resources"`
	Repository struct {
		FullName string `json:"repo_full_name"`
	} `json:"repository"`
}

const (
	harborPushed  = "PUSH_ARTIFACT"
	harborDeleted = "DELETE_ARTIFACT"
)

// changes are those of one notification, each once.
type changes struct {
	list []change
	seen map[change]bool
}

func (c *changes) add(repository, reference string) {
	n := change{repository, reference}
	if repository == "" || c.seen[n] {
		return
	}
	if c.seen == nil {
		c.seen = map[change]bool{}
	}
	c.seen[n] = true
	c.list = append(c.list, n)
}

// addDistribution: a push without a tag is of a blob or of a manifest by its digest, and moves no name. A deletion without
// one is of a manifest, with all tags on it, or of the whole repository.
func (c *changes) addDistribution(e distributionEvent) {
	t := e.Target
	switch {
	case (e.Action == "push" || e.Action == "delete") && t.Tag != "":
		c.add(t.Repository, t.Tag)
	case e.Action == "delete":
		c.add(t.Repository, t.Digest)
	}
}

// addHarbor: of an artifact that is deleted with several tags Harbor names one, so its digest stands for all.
func (c *changes) addHarbor(eventType string, e harborEvent) {
	if eventType != harborPushed && eventType != harborDeleted {
		return
	}
	for _, r := range e.Resources {
		if r.Tag != "" {
			c.add(e.Repository.FullName, r.Tag)
		}
		if eventType == harborDeleted {
			c.add(e.Repository.FullName, r.Digest)
		}
	}
}
