//go:build gatewayapi

package main

// The Gateway API's CRDs are read out of this module's folder (`go list -m`), so that nothing is
// copied into the repository. This import, never compiled, keeps its version in go.mod.
import _ "sigs.k8s.io/gateway-api/apis/v1"
