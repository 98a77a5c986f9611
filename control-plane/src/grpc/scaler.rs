//! How many nodes there should be, as KEDA asks: by the sockets that they
//! hold, since idle sockets cost memory and no CPU.
//!
//! What a trigger says is `socketsPerNode`. Nothing is answered while nodes
//! have not told what they hold, as after a change of leaders: an answer that
//! is too low takes nodes away that are needed.

use super::{Services, status::CallError};
use crate::driver::Request as Ask;
use gavel_proto::keda::{self as wire, external_scaler_server::ExternalScaler};
use gavel_runtime::tasks;
use std::{collections::HashMap, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// What is measured.
const METRIC: &str = "gavel_sockets";
/// What a trigger calls its target.
const TARGET: &str = "socketsPerNode";
/// Where a trigger has none.
const TARGET_DEFAULT: u32 = 20_000;
/// How often it is looked whether more nodes are needed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

type Stream<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl ExternalScaler for Services {
    type StreamIsActiveStream = Stream<wire::IsActiveResponse>;
    type StreamMetricSpecStream = Stream<wire::GetMetricSpecResponse>;

    async fn is_active(
        &self,
        request: Request<wire::ScaledObjectRef>,
    ) -> Result<Response<wire::IsActiveResponse>, Status> {
        target(Some(request.get_ref()))?;
        // Sockets come to nodes: without one nobody could ask for another.
        Ok(Response::new(wire::IsActiveResponse { result: true }))
    }

    async fn stream_is_active(
        &self,
        request: Request<wire::ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>, Status> {
        let target = target(Some(request.get_ref()))?;
        let (sender, receiver) = mpsc::channel(1);
        let services = self.clone();
        drop(tasks::spawn("scaler.watch", async move {
            let stop = services.stop.clone();
            stop.run_until_cancelled(services.tell_growth(target, sender)).await;
        }));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn get_metric_spec(
        &self,
        request: Request<wire::ScaledObjectRef>,
    ) -> Result<Response<wire::GetMetricSpecResponse>, Status> {
        Ok(Response::new(spec(target(Some(request.get_ref()))?)))
    }

    async fn get_metrics(
        &self,
        request: Request<wire::GetMetricsRequest>,
    ) -> Result<Response<wire::GetMetricsResponse>, Status> {
        let wire::GetMetricsRequest { scaled_object_ref, metric_name } = request.into_inner();
        target(scaled_object_ref.as_ref())?;
        if metric_name != METRIC {
            let message = format!("{METRIC} is all that is measured");
            return Err(CallError::invalid("metricName", message).into());
        }
        let sockets = self.sockets().await?;
        let value = wire::MetricValue {
            metric_name,
            metric_value: i64::from(sockets),
            metric_value_float: f64::from(sockets),
        };
        Ok(Response::new(wire::GetMetricsResponse { metric_values: vec![value] }))
    }

    async fn stream_metric_spec(
        &self,
        request: Request<wire::ScaledObjectRef>,
    ) -> Result<Response<Self::StreamMetricSpecStream>, Status> {
        let spec = spec(target(Some(request.get_ref()))?);
        let (sender, receiver) = mpsc::channel(1);
        let stop = self.stop.clone();
        drop(tasks::spawn("scaler.spec", async move {
            if sender.send(Ok(spec)).await.is_ok() {
                stop.run_until_cancelled(sender.closed()).await;
            }
        }));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl Services {
    /// The sockets of all nodes, if each has told.
    async fn sockets(&self) -> Result<u32, CallError> {
        let driver = self.driver().ok_or(CallError::NoLeader)?;
        let (nodes, _) = driver.ask(|answer| Ask::Nodes { answer }).await?;
        let mut live = nodes.iter().filter(|node| node.live).peekable();
        let has_told = live.peek().is_some();
        let told = live.map(|node| (node.heartbeat_at > 0).then_some(node.sockets));
        let sum = told.sum::<Option<u64>>().filter(|_| has_told);
        let sum = sum.map(|sum| u32::try_from(sum).unwrap_or(u32::MAX));
        sum.ok_or_else(|| {
            CallError::Unavailable("nodes have yet to tell what they hold".to_owned())
        })
    }

    /// Says so at once and whenever more nodes are needed than before.
    async fn tell_growth(
        &self,
        target: u32,
        sender: mpsc::Sender<Result<wire::IsActiveResponse, Status>>,
    ) {
        let mut tick = tokio::time::interval(LOOK_INTERVAL);
        let mut needed = None;
        loop {
            let now = self.sockets().await.ok().map(|sockets| sockets.div_ceil(target));
            let grows = needed.is_none() || now > needed;
            needed = now.or(needed).or(Some(0));
            if grows && sender.send(Ok(wire::IsActiveResponse { result: true })).await.is_err() {
                return;
            }
            tokio::select! {
                _ = tick.tick() => {}
                () = sender.closed() => return,
            }
        }
    }
}

fn spec(target: u32) -> wire::GetMetricSpecResponse {
    let spec = wire::MetricSpec {
        metric_name: METRIC.to_owned(),
        target_size: i64::from(target),
        target_size_float: f64::from(target),
    };
    wire::GetMetricSpecResponse { metric_specs: vec![spec] }
}

/// How many sockets one node is to hold, as a trigger says.
fn target(scaled: Option<&wire::ScaledObjectRef>) -> Result<u32, CallError> {
    let none = HashMap::new();
    let metadata = scaled.map_or(&none, |scaled| &scaled.scaler_metadata);
    let Some(text) = metadata.get(TARGET) else { return Ok(TARGET_DEFAULT) };
    let target = text.parse().ok().filter(|target| *target > 0);
    target.ok_or_else(|| CallError::invalid(TARGET, "must be a whole number above 0"))
}
