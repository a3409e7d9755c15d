package ocifs

import (
	"fmt"
	"os"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// DockerCredential gives the credentials of a docker configuration, helpers included; the empty name is docker's own place.
func DockerCredential(file string) (auth.CredentialFunc, error) {
	if file == "" {
		store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
		if err != nil {
			return nil, fmt.Errorf("docker configuration: %w", err)
		}
		return credentials.Credential(store), nil
	}
	if _, err := os.Stat(file); err != nil { // the store would take it for empty
		return nil, err
	}
	store, err := credentials.NewStore(file, credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return credentials.Credential(store), nil
}
