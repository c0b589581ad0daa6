"""How clients reach the gateways, and who else may."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tusfleet_operator.resource.fields import (
    Annotations,
    DurationText,
    HostName,
    LabelKey,
    Labels,
    LabelValue,
    ObjectName,
    Part,
    Port,
    Rule,
    exactly_one,
    text,
)

Cidr = Annotated[str, text(r"^[0-9a-fA-F.:]+/[0-9]{1,3}$", "is a network such as 10.0.0.0/8", 49)]


class ParentRef(Part):
    """A Gateway to which the route is attached."""

    name: ObjectName = Field(description="Name of the Gateway.")
    namespace: ObjectName | None = Field(None, description="Its namespace; without it that of the TusServer.")
    section_name: ObjectName | None = Field(
        None, description="One of its listeners; without it all that allow the route."
    )
    port: Port | None = Field(None, description="Port of its listeners; without it all of them.")


class HttpRoute(Part):
    """An HTTPRoute of the Gateway API."""

    parent_refs: list[ParentRef] = Field(
        min_length=1, max_length=8, description="Gateways to which the route is attached."
    )
    hostnames: list[HostName] = Field(
        default=[],
        max_length=16,
        description="Host names that the route answers; without one those of the listeners. The first one is that of `status.url`.",
    )
    request_timeout: Annotated[str, Field(max_length=16, pattern=r"^([0-9]{1,5}(h|m|s|ms)){0,4}$")] = Field(
        "0s",
        description="Longest time of a request, as a Gateway API duration; `0s` is for ever, as long uploads need it. "
        "Empty leaves it to the Gateway, also for versions of the Gateway API that do not know timeouts.",
        json_schema_extra={"x-message": "is a duration such as 0s or 1h, or empty"},
    )
    labels: Labels = Field(default={}, description="Labels of the HTTPRoute.")
    annotations: Annotations = Field(default={}, description="Annotations of the HTTPRoute.")


class Ingress(Part):
    """An Ingress. Its controller must pass request bodies on as they arrive, and not limit them."""

    class_name: ObjectName | None = Field(None, description="Class of the Ingress; without it the cluster's default.")
    hosts: list[HostName] = Field(
        min_length=1, max_length=16, description="Host names that it answers. The first one is that of `status.url`."
    )
    tls_secret_name: ObjectName | None = Field(None, description="Secret with the certificate of the hosts.")
    labels: Labels = Field(default={}, description="Labels of the Ingress.")
    annotations: Annotations = Field(
        default={}, description="Annotations of the Ingress, such as those that turn buffering of requests off."
    )


class Exposure(Part):
    """How clients outside of the cluster reach the gateways: by an HTTPRoute or by an Ingress."""

    rules = (
        exactly_one(
            "httpRoute", "ingress", message="expose uploads by httpRoute or by ingress; leave exposure out for neither"
        ),
    )

    http_route: HttpRoute | None = Field(None, description="By an HTTPRoute of the Gateway API.")
    ingress: Ingress | None = Field(None, description="By an Ingress.")
    scheme: Literal["https", "http"] = Field(
        "https", description="Scheme of `status.url`: whether what stands in front speaks TLS to clients."
    )


class Service(Part):
    """The Service of the uploads."""

    rules = (
        Rule("!has(self.nodePort) || self.type != 'ClusterIP'", "nodePort needs type: NodePort or LoadBalancer"),
        Rule(
            "self.type == 'LoadBalancer' || !(has(self.loadBalancerClass) || has(self.loadBalancerSourceRanges))",
            "loadBalancerClass and loadBalancerSourceRanges need type: LoadBalancer",
        ),
        Rule(
            "!has(self.externalTrafficPolicy) || self.type != 'ClusterIP'",
            "externalTrafficPolicy needs type: NodePort or LoadBalancer",
        ),
    )

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field("ClusterIP", description="Type of the Service.")
    port: Port = Field(80, description="Port of the Service.")
    node_port: int | None = Field(None, ge=1, le=65535, description="Port of every node; without it one is chosen.")
    load_balancer_class: Annotated[str, Field(max_length=253)] | None = Field(
        None, description="Which load balancer takes care of it."
    )
    load_balancer_source_ranges: list[Cidr] | None = Field(
        None, max_length=32, description="Networks from which the load balancer lets clients in."
    )
    external_traffic_policy: Literal["Cluster", "Local"] | None = Field(
        None, description="`Local` keeps the addresses of clients, and sends them only to nodes that have a gateway."
    )
    labels: Labels = Field(default={}, description="Labels of the Service.")
    annotations: Annotations = Field(default={}, description="Annotations of the Service.")


class SelectorRequirement(Part):
    """One requirement of a label selector."""

    key: LabelKey = Field(description="Key of the label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How the label is compared.")
    values: list[LabelValue] = Field(default=[], max_length=16, description="Values, for In and NotIn.")


class Selector(Part):
    """A label selector; an empty one selects everything."""

    match_labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(
        default={}, description="Labels and their values."
    )
    match_expressions: list[SelectorRequirement] = Field(default=[], max_length=8, description="Other requirements.")


class IpBlock(Part):
    """A network."""

    cidr: Cidr = Field(description="The network.")
    except_: list[Cidr] = Field(
        default=[], max_length=16, alias="except", description="Networks inside of it that are left out."
    )


class Peer(Part):
    """Pods, namespaces or a network."""

    rules = (
        Rule(
            "has(self.ipBlock) || has(self.podSelector) || has(self.namespaceSelector)", "name an ipBlock or a selector"
        ),
        Rule(
            "!has(self.ipBlock) || !(has(self.podSelector) || has(self.namespaceSelector))",
            "ipBlock stands alone; make another entry for selectors",
        ),
    )

    pod_selector: Selector | None = Field(
        None, description="Pods, in the namespace of the TusServer or in those selected."
    )
    namespace_selector: Selector | None = Field(None, description="Namespaces.")
    ip_block: IpBlock | None = Field(None, description="A network.")


Peers = Annotated[list[Peer], Field(max_length=16)]


class NetworkPolicy(Part):
    """Who may connect to the pods, and with whom they may."""

    ingress_from: Peers | None = Field(
        None, description="Who may send uploads; without it everybody. An empty list lets nobody in."
    )
    metrics_from: Peers | None = Field(
        None, description="Who may ask for health and metrics; without it everybody. Probes always may."
    )
    egress_to: Peers | None = Field(
        None,
        description="With whom pods may connect besides the name service: it must have Redis and the storage in it. "
        "Without it they may connect with everybody.",
    )


class ServiceMonitor(Part):
    """A ServiceMonitor of the Prometheus operator."""

    interval: DurationText = Field("30s", description="How often metrics are scraped.")
    scrape_timeout: DurationText = Field("10s", description="How long a scrape may take.")
    labels: Labels = Field(default={}, description="Labels of the ServiceMonitor, by which a Prometheus selects it.")


class PrometheusRule(Part):
    """A PrometheusRule of the Prometheus operator, with the alerts of the runbooks."""

    labels: Labels = Field(default={}, description="Labels of the PrometheusRule, by which a Prometheus selects it.")
    alert_labels: Labels = Field(default={}, description="Labels of each alert, by which they are routed.")


class Monitoring(Part):
    """Objects of the Prometheus operator."""

    service_monitor: ServiceMonitor | None = Field(None, description="Makes a ServiceMonitor, even as `{}`.")
    prometheus_rule: PrometheusRule | None = Field(None, description="Makes a PrometheusRule, even as `{}`.")
