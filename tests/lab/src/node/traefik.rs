//! Traefik as the implementation of the Gateway API, as a process at the node's address.

use super::state::State;
use super::{ADDRESS, GATEWAY_PORT, TRAEFIK_PORT};
use crate::control_plane::{ControlPlane, flags};
use crate::objects::{apply, objects};
use crate::process::Program;
use crate::wait;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use std::path::Path;
use std::process::Command;

/// The Gateway that HTTPRoutes name as `{name: public, namespace: gateway}`; routes of every
/// namespace may.
const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: traefik}
spec: {controllerName: traefik.io/gateway-controller}
---
apiVersion: v1
kind: Namespace
metadata: {name: gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: gateway}
spec:
  gatewayClassName: traefik
  listeners:
  - {name: web, protocol: HTTP, port: 80, allowedRoutes: {namespaces: {from: All}}}
";

/// Starts it.
pub fn start(state: &State, tools: &Path, plane: &ControlPlane) -> Program {
    let (server, certificate) = plane.server();
    let mut command = Command::new(tools.join("traefik"));
    command.args(flags(&[
        ("global.checknewversion", "false"),
        ("global.sendanonymoususage", "false"),
        ("log.level", "INFO"),
        (
            "entrypoints.web.address",
            &format!("{ADDRESS}:{GATEWAY_PORT}"),
        ),
        (
            "entrypoints.status.address",
            &format!("{ADDRESS}:{TRAEFIK_PORT}"),
        ),
        ("ping", "true"),
        ("ping.entrypoint", "status"),
        ("metrics.prometheus", "true"),
        ("metrics.prometheus.entrypoint", "status"),
        ("metrics.prometheus.addserviceslabels", "true"),
        ("providers.kubernetesgateway", "true"),
        ("providers.kubernetesgateway.endpoint", server),
        ("providers.kubernetesgateway.token", "traefik"),
        (
            "providers.kubernetesgateway.certauthfilepath",
            &certificate.display().to_string(),
        ),
        (
            "providers.kubernetesgateway.statusaddress.ip",
            &ADDRESS.to_string(),
        ),
    ]));
    Program::start("traefik", state.folder(), command)
}

/// Applies the Gateway and waits until Traefik serves it.
pub async fn serves(client: &Client, program: &mut Program) {
    for object in objects(GATEWAY).unwrap() {
        if let Err(error) = apply(client, "", &object, crate::MANAGER).await {
            panic!("the gateway is refused: {error}");
        }
    }
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "Gateway");
    let gateways: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "gateway", &ApiResource::from_gvk(&kind));
    wait::until_ok("Traefik serves the gateway", async || {
        program.assert_running();
        let gateway = gateways
            .get("public")
            .await
            .map_err(|error| error.to_string())?;
        let conditions = gateway.data["status"]["conditions"].clone();
        let programmed = conditions.as_array().is_some_and(|conditions| {
            conditions
                .iter()
                .any(|condition| condition["type"] == "Programmed" && condition["status"] == "True")
        });
        if programmed {
            Ok(())
        } else {
            Err(conditions.to_string())
        }
    })
    .await;
}
