//! Accepts and refuses requests to change the questions.

use std::sync::Arc;

use pinflow_dataflows::graph::DuplicatePolicy;
use pinflow_dataflows::questions::{Question, QuestionId, QuestionName, QuestionOrigin, ReadColumns};
use pinflow_dataflows::record::Stream;
use tokio::time::Instant;

use super::{PendingCommand, QuestionRegistry, RegistryNotice, RequestedQuestion};
use crate::questions::control::QuestionChange;
use crate::questions::{QuestionPhase, QuestionRefusal, QuestionState};

/// The most questions that wait while another one fills.
const MAX_WAITING_QUESTIONS: usize = 64;

impl QuestionRegistry {
    /// Accepts or refuses a change. A refused change changes nothing.
    pub(crate) fn request(&mut self, change: QuestionChange, now: Instant) -> Result<QuestionId, QuestionRefusal> {
        if self.has_ended {
            return Err(QuestionRefusal::RunEnded);
        }
        match change {
            QuestionChange::Add(question) => self.request_addition(*question, now),
            QuestionChange::Replace(question) => self.request_replacement(*question, now),
            QuestionChange::Drop(name) => self.request_drop(&name),
        }
    }

    fn request_addition(&mut self, question: Question, now: Instant) -> Result<QuestionId, QuestionRefusal> {
        if self.find_live(&question.name).is_some() || self.has_hidden(&question.name) {
            return Err(QuestionRefusal::NameInUse(question.name));
        }
        self.check_fillable(&question)?;
        Ok(self.enqueue(&question, None, now))
    }

    fn request_replacement(&mut self, question: Question, now: Instant) -> Result<QuestionId, QuestionRefusal> {
        let replaces = self.find_editable(&question.name)?;
        if replaces.is_none() && !self.has_hidden(&question.name) {
            return Err(QuestionRefusal::UnknownName(question.name));
        }
        self.check_fillable(&question)?;
        // What was to replace it before, or could not, is of no use any more.
        self.forget_hidden(&question.name);
        Ok(self.enqueue(&question, replaces, now))
    }

    fn request_drop(&mut self, name: &QuestionName) -> Result<QuestionId, QuestionRefusal> {
        let live = self.find_editable(name)?;
        let hidden = self.forget_hidden(name);
        if let Some(id) = live {
            self.pending.push_back(PendingCommand::Drop { id, reason: None });
        }
        let id = live.or(hidden).ok_or_else(|| QuestionRefusal::UnknownName(name.clone()))?;
        self.notices.push(RegistryNotice::Dropped { name: name.clone() });
        Ok(id)
    }

    /// The live question of a name. An added one does not count once its end is decided.
    fn find_live(&self, name: &QuestionName) -> Option<(QuestionId, &Arc<Question>)> {
        let is_named = |question: &Question| question.name.eq_ignore_ascii_case(name);
        let stays = |id, question: &Question| question.origin != QuestionOrigin::Added || !self.is_going(id);
        self.live.iter().find(|(id, question)| is_named(question) && stays(*id, question))
    }

    /// The live question of a name. It and those that are not live may be replaced and dropped.
    fn find_editable(&self, name: &QuestionName) -> Result<Option<QuestionId>, QuestionRefusal> {
        let live = self.find_live(name);
        let stopped = self.stopped.iter().filter(|state| state.name.eq_ignore_ascii_case(name));
        for question in live.map(|(_, question)| question).into_iter().chain(stopped.map(|state| &state.question)) {
            match question.origin {
                QuestionOrigin::BuiltIn => return Err(QuestionRefusal::BuiltIn(question.name.clone())),
                QuestionOrigin::Configured => return Err(QuestionRefusal::Configured(question.name.clone())),
                QuestionOrigin::Added => {}
            }
        }
        Ok(live.map(|(id, _)| id))
    }

    /// Whether a question of this name waits, fills or was stopped.
    fn has_hidden(&self, name: &QuestionName) -> bool {
        let requested = self.waiting.iter().map(|requested| &requested.question.name);
        let filling = self.fill.as_ref().map(|fill| &fill.question().name);
        let stopped = self.stopped.iter().map(|state| &state.name);
        requested.chain(filling).chain(stopped).any(|other| other.eq_ignore_ascii_case(name))
    }

    /// Removes the questions of this name that wait, fill or were stopped. Returns the id of one of them.
    fn forget_hidden(&mut self, name: &QuestionName) -> Option<QuestionId> {
        let is_named = |other: &QuestionName| other.eq_ignore_ascii_case(name);
        let stopped = self.stopped.extract_if(.., |state| is_named(&state.name)).map(|state| state.id).last();
        let place = self.waiting.iter().position(|requested| is_named(&requested.question.name));
        let waiting = place.and_then(|place| self.waiting.remove(place)).map(|requested| requested.id);
        let fills = self.fill.as_ref().is_some_and(|fill| is_named(&fill.question().name));
        let filling = if fills { self.cancel_fill().map(|requested| requested.id) } else { None };
        filling.or(waiting).or(stopped)
    }

    /// Checks that a question can be computed from what the run has.
    fn check_fillable(&self, question: &Question) -> Result<(), QuestionRefusal> {
        if self.waiting.len() >= MAX_WAITING_QUESTIONS {
            return Err(QuestionRefusal::TooManyWaiting(self.waiting.len()));
        }
        if self.policy.has_tables {
            return Ok(());
        }
        let name = question.name.clone();
        if self.policy.duplicates == DuplicatePolicy::Keep {
            return Err(QuestionRefusal::NeedsTablesToKeep(name));
        }
        match self.columns_to_read(question) {
            None => Ok(()),
            Some(columns) => Err(QuestionRefusal::NeedsTablesForColumns { name, columns: describe_columns(&columns) }),
        }
    }

    fn enqueue(&mut self, question: &Question, replaces: Option<QuestionId>, requested_at: Instant) -> QuestionId {
        let (live, id) = self.live.with_reserved_id();
        self.live = live;
        // The operators of the other path have fixed lists of questions.
        let question = Arc::new(question.on_general_path());
        self.notices.push(RegistryNotice::Accepted { name: question.name.clone(), replaces: replaces.is_some() });
        self.waiting.push_back(RequestedQuestion { id, question, replaces, requested_at });
        id
    }
}

/// The columns with their relations, as `pin.title, geo.coordinates`.
pub(super) fn describe_columns(columns: &ReadColumns) -> String {
    let names = |stream| columns.of_stream(stream).unwrap_or_default().iter();
    let of_stream = |stream: Stream| names(stream).map(move |column| format!("{stream}.{column}"));
    Stream::ALL.into_iter().flat_map(of_stream).collect::<Vec<_>>().join(", ")
}

impl RequestedQuestion {
    pub(super) fn state(&self, phase: QuestionPhase) -> QuestionState {
        QuestionState {
            name: self.question.name.clone(),
            id: self.id,
            question: Arc::clone(&self.question),
            phase,
            replaces: self.replaces,
        }
    }
}

impl PendingCommand {
    /// The question that the command ends.
    pub(super) fn dropped_question(&self) -> Option<QuestionId> {
        match self {
            PendingCommand::Drop { id, .. } => Some(*id),
            PendingCommand::EndWindow | PendingCommand::Add | PendingCommand::BeginFill => None,
        }
    }
}
