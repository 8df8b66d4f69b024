//! A client's call of `BatchSubmitStream`: it says and hears at the same time,
//! and somebody else watches.

use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::batch_submit_stream_request::Message as Said;
use flowgate::proto::batch_submit_stream_response::Message as Heard;
use flowgate::proto::{
    BatchAccepted, BatchAppend, BatchOpen, BatchResume, BatchSeal, BatchSubmitStreamRequest,
    batch_open,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::client::{Gone, Knows, accepted, follow, followed, spec, submitted};
use crate::meddling::Meddler;
use crate::notes::Notes;
use crate::told::{is_last, told};
use crate::work::Work;

/// A call.
pub struct Call<'a> {
    pub work: &'a Work,
    pub notes: &'a Notes,
    /// How many items it says at once.
    pub part: usize,
    /// Whether it goes on where the last one was, or says all again.
    pub resumes: bool,
}

type Sender = mpsc::Sender<BatchSubmitStreamRequest>;
type Held = watch::Receiver<Option<BatchAccepted>>;

impl Call<'_> {
    /// Says what there is to say, and hears to the end of the batch, while
    /// somebody else watches from another place.
    pub async fn go(
        &self,
        channel: Channel,
        knows: &mut Knows,
        meddler: &mut Option<Meddler>,
        from: u64,
    ) -> Result<(), Gone> {
        let (sender, receiver) = mpsc::channel(1);
        let (hearing, held) = watch::channel(None);
        let opening = self.opening(knows);
        let incoming = ReceiverStream::new(receiver);
        let says = self.say(opening, sender, held.clone());
        let watches = self.watch(channel.clone(), held.clone(), from);
        let others = self.meddle(channel.clone(), held, meddler);
        let hearing = self.hear(channel, incoming, knows, hearing);
        // Whoever watches does not wait for a batch that nobody fills any more.
        let hearing = async { tokio::try_join!(hearing, watches, others) };
        let (_, ended) = tokio::join!(says, hearing);
        ended.map(drop)
    }

    fn opening(&self, knows: &Knows) -> batch_open::How {
        match &knows.batch {
            Some(batch) if self.resumes => batch_open::How::Resume(BatchResume {
                batch_id: batch.clone(),
                cursor: knows.cursor,
            }),
            _ => batch_open::How::Spec(spec(self.work)),
        }
    }

    /// Ends early when the call does.
    async fn say(&self, how: batch_open::How, sender: Sender, mut held: Held) -> Option<()> {
        let say = async |message| {
            let message = Some(message);
            let said = sender.send(BatchSubmitStreamRequest { message }).await;
            self.notes.event();
            said.ok()
        };
        let open = BatchOpen {
            how: Some(how),
            all_failed_is_ok: true,
        };
        submitted(self.notes, self.work, 0, 0);
        say(Said::Open(open)).await?;
        let mut at = 0;
        if self.resumes {
            let held = held.wait_for(Option::is_some).await.ok()?;
            at = held.as_ref()?.items_held as usize;
        }
        while at < self.work.pieces.len() {
            let count = self.part.min(self.work.pieces.len() - at);
            submitted(self.notes, self.work, at, count);
            let pieces = &self.work.pieces[at..at + count];
            say(Said::Append(BatchAppend {
                items: pieces.iter().map(super::work::Piece::item).collect(),
                offset: u32::try_from(at).ok(),
            }))
            .await?;
            at += count;
        }
        let count = u32::try_from(at).ok();
        say(Said::Seal(BatchSeal { count })).await
    }

    async fn hear(
        &self,
        channel: Channel,
        outgoing: ReceiverStream<BatchSubmitStreamRequest>,
        knows: &mut Knows,
        hears: watch::Sender<Option<BatchAccepted>>,
    ) -> Result<(), Gone> {
        let mut after = if self.resumes { knows.cursor } else { 0 };
        let mut reader = None;
        let mut client = BatchServiceClient::new(channel);
        let response = client.batch_submit_stream(outgoing).await;
        let mut incoming = response.map_err(|status| Gone::by(&status))?.into_inner();
        // From the last event on there is nothing to tell.
        let mut ended = self.resumes && knows.is_over;
        loop {
            let message = incoming.message().await;
            self.notes.event();
            let Some(message) = message.map_err(|status| Gone::by(&status))? else {
                assert!(ended, "the call ended before its batch");
                return Ok(());
            };
            match message.message.expect("a message") {
                Heard::Accepted(held) => {
                    let (id, items) = (&held.batch_id, held.items_held);
                    accepted(self.notes, self.work, id, items);
                    assert!(items >= knows.held, "{} were held, {items} are", knows.held);
                    knows.held = items;
                    knows.batch = Some(id.clone());
                    hears.send_replace(Some(held));
                }
                Heard::Event(event) => {
                    // `accepted` is the first that is said.
                    let batch = knows.batch.as_ref().expect("it has the batch's id");
                    let begins = || followed(self.notes, batch, after);
                    self.notes
                        .saw(told(*reader.get_or_insert_with(begins), batch, &event));
                    after = event.sequence;
                    knows.cursor = knows.cursor.max(after);
                    ended = is_last(&event);
                    knows.is_over |= ended;
                }
                Heard::Heartbeat(_) => {}
            }
        }
    }

    /// Watches the batch once its id is known.
    async fn watch(&self, channel: Channel, held: Held, from: u64) -> Result<(), Gone> {
        let batch = id(held).await?;
        follow(self.notes, channel, &batch, from).await?;
        Ok(())
    }

    /// Has somebody meddle once it is.
    async fn meddle(
        &self,
        channel: Channel,
        held: Held,
        meddler: &mut Option<Meddler>,
    ) -> Result<(), Gone> {
        match meddler {
            Some(meddler) => meddler.go(self.notes, channel, &id(held).await?).await,
            None => Ok(()),
        }
    }
}

/// The batch's id, once it is known.
async fn id(mut held: Held) -> Result<String, Gone> {
    match held.wait_for(Option::is_some).await {
        Ok(held) => Ok(held.as_ref().expect("it is there").batch_id.clone()),
        Err(_) => Err(Gone::Away),
    }
}
