//! The flags for programs that evaluate them by themselves, as flagd asks for
//! them. Every replica serves them, from the document that it has.

use super::{Services, status::CallError};
use gavel_proto::flagd::v1::{self as wire, flag_sync_service_server::FlagSyncService};
use gavel_runtime::tasks;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Documents that wait for a client: it has use for the newest alone.
const QUEUE_MAX: usize = 1;

#[tonic::async_trait]
impl FlagSyncService for Services {
    type SyncFlagsStream = ReceiverStream<Result<wire::SyncFlagsResponse, Status>>;

    #[tracing::instrument(name = "flags.sync", skip_all)]
    async fn sync_flags(
        &self,
        request: Request<wire::SyncFlagsRequest>,
    ) -> Result<Response<Self::SyncFlagsStream>, Status> {
        only_all(&request.get_ref().selector)?;
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let services = self.clone();
        drop(tasks::spawn("flags.sync", async move {
            let stop = services.stop.clone();
            stop.run_until_cancelled(services.stream_flags(sender)).await;
        }));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    #[tracing::instrument(name = "flags.fetch", skip_all)]
    async fn fetch_all_flags(
        &self,
        request: Request<wire::FetchAllFlagsRequest>,
    ) -> Result<Response<wire::FetchAllFlagsResponse>, Status> {
        only_all(&request.get_ref().selector)?;
        let flag_configuration = self.documents.newest().flags.body;
        Ok(Response::new(wire::FetchAllFlagsResponse { flag_configuration }))
    }

    async fn get_metadata(
        &self,
        _: Request<wire::GetMetadataRequest>,
    ) -> Result<Response<wire::GetMetadataResponse>, Status> {
        Ok(Response::new(wire::GetMetadataResponse::default()))
    }
}

impl Services {
    /// Sends each document of flags until the client leaves.
    async fn stream_flags(&self, sender: mpsc::Sender<Result<wire::SyncFlagsResponse, Status>>) {
        let mut newest = self.documents.watch();
        let mut sent = String::new();
        loop {
            // Limits change as well, and a new version may say the same.
            let document = newest.borrow_and_update().flags.body.clone();
            if document != sent {
                sent.clone_from(&document);
                let message =
                    wire::SyncFlagsResponse { flag_configuration: document, sync_context: None };
                if sender.send(Ok(message)).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
        }
    }
}

fn only_all(selector: &str) -> Result<(), CallError> {
    if selector.is_empty() {
        return Ok(());
    }
    Err(CallError::invalid("selector", "there is one document, and no part of it to select"))
}
