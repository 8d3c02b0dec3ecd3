//! ingress-nginx: whose an Ingress is, by its class.
//!
//! The canary Ingress has the class of the user's. To a controller that does not know ingress-nginx's
//! annotations it would be one more Ingress of the same hosts and paths: no weight would mean anything,
//! and all of the traffic might go to the canary. So what is certainly another controller's is refused.
//! Certain is little: ingress-nginx may be given any name (`--controller-class`), and others act on its
//! annotations too; therefore the names of those that do not are listed.

use serde_json::Value;

use super::{annotation, text};
use crate::core::spec::Problem;

/// The class of Ingresses that do not use `ingressClassName`. It need not be an IngressClass.
pub(super) const ANNOTATION: &str = "kubernetes.io/ingress.class";

/// `spec.controller` of those that do not act on ingress-nginx's canary annotations, as their
/// documentation has it. Some append the name of an instance, after another `/`.
const OTHERS: [&str; 16] = [
    "azure/application-gateway",
    "cilium.io/ingress-controller",
    "eks.amazonaws.com/alb",
    "getambassador.io/ingress-controller",
    "haproxy-ingress.github.io/controller",
    "haproxy.org/ingress-controller",
    "ingress-controllers.konghq.com/kong",
    "ingress.k8s.aws/alb",
    "istio.io/ingress-controller",
    "nginx.org/ingress-controller",
    "openshift.io/ingress-to-route",
    "pomerium.io/ingress-controller",
    "projectcontour.io/contour",
    "projectcontour.io/ingress-controller",
    "tailscale.com/ts-ingress",
    "traefik.io/ingress-controller",
];

/// What is known of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressClass {
    /// Nothing: Tidegate does not read classes, or may not.
    Unknown,
    /// There is none of this name.
    Missing,
    /// It is this controller's (`spec.controller`).
    Of(String),
}

/// Says what is known of the class of a name.
pub type Classes<'a> = &'a dyn Fn(&str) -> IngressClass;

/// Why no ingress-nginx serves the user's Ingress for certain. `field` is the Rollout's field that names
/// it, `ingress` its name.
pub(super) fn problem(
    object: &Value,
    classes: Classes<'_>,
    ingress: &str,
    field: &str,
) -> Option<Problem> {
    let (class, legacy) = match (
        text(object, "/spec/ingressClassName"),
        annotation(object, ANNOTATION),
    ) {
        ("", None) => return None,
        ("", Some(class)) => (class, true),
        (class, _) => (class, false),
    };
    match classes(class) {
        IngressClass::Of(controller) if is_another(&controller) => Some(Problem::new(
            field,
            format!("Ingress {ingress} is of class {class}, which is {controller}'s"),
            "an Ingress of a class of ingress-nginx (spec.controller k8s.io/ingress-nginx, or what its \
             --controller-class says): that controller knows no canary weight, and would take the canary \
             Ingress for one like any other",
        )),
        IngressClass::Missing if !legacy => Some(Problem::new(
            field,
            format!("Ingress {ingress} is of class {class}, and there is no such IngressClass"),
            "an Ingress of a class that exists, because no controller serves it otherwise: create the \
             IngressClass, or mend spec.ingressClassName",
        )),
        _ => None,
    }
}

/// Whether a class's controller certainly does not act on ingress-nginx's canary annotations.
fn is_another(controller: &str) -> bool {
    OTHERS.iter().any(|other| {
        let rest = controller.strip_prefix(other);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Whether two Ingresses are of one class.
pub(super) fn is_one(left: &Value, right: &Value) -> bool {
    let class = |object| {
        (
            text(object, "/spec/ingressClassName").to_owned(),
            annotation(object, ANNOTATION).map(str::to_owned),
        )
    };
    class(left) == class(right)
}
