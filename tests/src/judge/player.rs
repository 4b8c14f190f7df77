//! Plays a script against a broker: says each step, hears what comes back, and writes it down.
//!
//! When is a step answered? After each step its channel is asked something harmless (`channel.flow`, which needs no
//! permission and changes nothing); what is heard until the answer belongs to the step. That is all where everything
//! is answered in order. What comes from elsewhere (a delivery on another connection, a confirm) is waited for: as
//! long as a guide says that it is to come, or, without one, until all is quiet.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::mpsc::{self, Receiver, Sender},
    time::{Duration, Instant},
};

use super::{
    Trouble,
    catalogue::Script,
    masks::{Heard, mask},
    methods::{Arguments, Signature},
    peer::{Event, Peer, Phase},
    step::{Action, Deed, Login, Step, Who},
    target::Target,
    transcript::{END, Told, Transcript},
};
use crate::codec::{Frame, METHOD};

/// How long nothing may come until all is quiet, without a guide.
const QUIET: Duration = Duration::from_millis(60);

/// The same where nothing could be asked: after frames that are wrong, on channel 0.
const QUIET_UNASKED: Duration = Duration::from_millis(500);

/// The same in a handshake: a broker lets a refused peer wait for some seconds.
const QUIET_HANDSHAKE: Duration = Duration::from_secs(5);

/// How long anything that is to come may take. Far above what it takes, for busy machines.
const PATIENCE: Duration = Duration::from_secs(20);

/// The same once something did not come: the script differs already.
const PATIENCE_LOST: Duration = Duration::from_millis(200);

/// The channel on which the player asks for itself. Scripts use low numbers.
pub(super) const OWN_CHANNEL: u16 = 2_000;

/// Plays `script` in a vhost of its own. `guide` is what is to come back, if that is known.
pub fn play(script: &Script, target: &Target, guide: Option<&Transcript>) -> Result<Transcript, Trouble> {
    let vhost = target.make_vhost(&script.name)?;
    let played = Player::new(target, vhost.clone(), guide).play(script);
    target.remove_vhost(&vhost)?;
    played.map_err(|trouble| Trouble::new(format!("{}: {trouble}", script.name)))
}

/// A script that is being played.
#[derive(Debug)]
pub(super) struct Player<'a> {
    pub(super) target: &'a Target,
    pub(super) vhost: String,
    guide: Option<&'a Transcript>,
    step_index: usize,
    pub(super) peers: BTreeMap<char, Peer>,
    sender: Sender<(usize, Event)>,
    pub(super) events: Receiver<(usize, Event)>,
    connections_made: usize,
    /// What was heard since the last step was told.
    pub(super) heard: Vec<Heard>,
    /// What an operator heard since then.
    told_by_operator: Vec<String>,
    /// What was heard on [`OWN_CHANNEL`].
    pub(super) own_answers: VecDeque<Frame>,
    /// The last names that the broker made up, by their prefixes.
    pub(super) made_up: BTreeMap<&'static str, String>,
    pub(super) patience: Duration,
}

impl<'a> Player<'a> {
    fn new(target: &'a Target, vhost: String, guide: Option<&'a Transcript>) -> Player<'a> {
        let (sender, events) = mpsc::channel();
        Player {
            target,
            vhost,
            guide,
            step_index: 0,
            peers: BTreeMap::new(),
            sender,
            events,
            connections_made: 0,
            heard: Vec::new(),
            told_by_operator: Vec::new(),
            own_answers: VecDeque::new(),
            made_up: BTreeMap::new(),
            patience: PATIENCE,
        }
    }

    fn play(mut self, script: &Script) -> Result<Transcript, Trouble> {
        let mut transcript = Transcript::default();
        for (index, step) in script.steps.iter().enumerate() {
            self.step_index = index;
            self.act(step)?;
            if !step.is_joined {
                self.gather(step)?;
            }
            let lines = if step.is_joined { Vec::new() } else { self.take_lines() };
            transcript.steps.push(Told { step: step.text.clone(), lines });
        }
        self.finish()?;
        let lines = self.take_lines();
        if !lines.is_empty() {
            transcript.steps.push(Told { step: END.to_owned(), lines });
        }
        Ok(transcript)
    }

    fn act(&mut self, step: &Step) -> Result<(), Trouble> {
        match &step.action {
            Action::Broker(setup) => {
                let told = self.target.set_up(setup, &self.vhost)?;
                self.told_by_operator.extend(told);
            }
            Action::Tool(line) => {
                let tools = self.target.tools.as_ref();
                let tools =
                    tools.ok_or_else(|| Trouble::new("the tools of a broker elsewhere are not known"))?;
                self.told_by_operator.extend(tools.run(line, &self.vhost)?);
            }
            Action::At { who, is_bare, deed } => {
                if !is_bare {
                    self.prepare(*who, deed)?;
                }
                self.perform(*who, deed)?;
            }
        }
        Ok(())
    }

    /// Opens what a step needs and the script did not say.
    fn prepare(&mut self, who: Who, deed: &Deed) -> Result<(), Trouble> {
        if matches!(deed, Deed::Socket | Deed::Greet | Deed::Connect(_)) {
            return Ok(());
        }
        if !self.peers.contains_key(&who.connection) {
            self.connect(who.connection)?.log_in(Login::default(), false);
            self.wait(|player| player.phase(who) != Phase::Handshake)?;
        }
        let is_opening = matches!(deed, Deed::Method(method, _) if method.name == "channel.open");
        let peer = self.peer(who)?;
        let is_usable = peer.channels.contains_key(&who.channel) || peer.phase != Phase::Open;
        if who.channel != 0 && !is_opening && !is_usable {
            self.open_channel(who)?;
        }
        Ok(())
    }

    pub(super) fn open_channel(&mut self, who: Who) -> Result<(), Trouble> {
        let peer = self.peer(who)?;
        peer.channels.entry(who.channel).or_default().is_silent = true;
        peer.say_on(who.channel, "channel.open", "")?;
        self.wait(|player| {
            player
                .peers
                .get(&who.connection)
                .is_none_or(|peer| peer.is_channel_open(who.channel) || peer.phase != Phase::Open)
        })
        .map(drop)
    }

    fn perform(&mut self, who: Who, deed: &Deed) -> Result<(), Trouble> {
        match deed {
            Deed::Socket => self.connect(who.connection).map(drop),
            Deed::Greet => {
                self.connect(who.connection)?.greet();
                self.wait(|player| player.peers.get(&who.connection).is_none_or(|peer| !peer.is_greeting))
                    .map(drop)
            }
            Deed::Connect(login) => {
                let login = login.clone();
                self.connect(who.connection)?.log_in(login, true);
                Ok(())
            }
            Deed::Await { queue, state } => self.await_queue(who, queue, *state),
            Deed::Method(method, given) => {
                let given = self.filled_in(given);
                self.say(who, method, given)
            }
            Deed::Publish(given, properties, body) => {
                let given = self.filled_in(given);
                let method = Signature::named("basic.publish").expect("the table has it");
                self.say(who, method, given)?;
                let header = properties.header(60, body.len() as u64);
                self.peer(who)?.write_content(who.channel, header, body);
                Ok(())
            }
            Deed::Header { class, size, properties } => {
                let payload = properties.header(*class, *size);
                self.peer(who)?.write_frame(crate::codec::HEADER, who.channel, payload);
                Ok(())
            }
            Deed::Body(body) => {
                self.peer(who)?.write_frame(crate::codec::BODY, who.channel, body.clone());
                Ok(())
            }
            Deed::Frame { kind, payload, end } => {
                let mut bytes =
                    Frame { kind: *kind, channel: who.channel, payload: payload.clone() }.encode();
                bytes.pop();
                bytes.push(*end);
                self.peer(who)?.write(&bytes);
                Ok(())
            }
            Deed::Bytes(bytes) => {
                self.peer(who)?.write(bytes);
                Ok(())
            }
            Deed::Cut => {
                self.peer(who)?.cut();
                Ok(())
            }
        }
    }

    fn say(&mut self, who: Who, method: &'static Signature, given: Arguments) -> Result<(), Trouble> {
        let payload = method.encode(given)?;
        let peer = self.peer(who)?;
        match method.name {
            "channel.open" => {
                peer.channels.entry(who.channel).or_default();
            }
            "channel.flow" => {
                peer.channels.entry(who.channel).or_default().own_flows += 1;
            }
            _ => {}
        }
        peer.write_frame(METHOD, who.channel, payload);
        Ok(())
    }

    /// The arguments with the names that the broker has made up.
    fn filled_in(&self, given: &Arguments) -> Arguments {
        given.changed(|text| {
            let made_up = |prefix: &str| self.made_up.get(prefix).map(|name| name.clone().into_bytes());
            match text {
                b"@vhost" => Some(self.vhost.clone().into_bytes()),
                b"@queue" => made_up("amq.gen-"),
                b"@consumer" => made_up("amq.ctag-"),
                b"@reply-to" => made_up("amq.rabbitmq.reply-to."),
                _ => None,
            }
        })
    }

    /// Hears everything that a step brings.
    fn gather(&mut self, step: &Step) -> Result<(), Trouble> {
        let asked = self.sync(step)?;
        match self.expected_lines().map(<[String]>::len) {
            Some(count) => self.wait_for_lines(count),
            None => self.wait_for_quiet(step, asked),
        }
    }

    /// What the guide says of this step.
    pub(super) fn expected_lines(&self) -> Option<&'a [String]> {
        let told = self.guide?.steps.get(self.step_index);
        Some(told.map_or(&[], |told| &told.lines))
    }

    fn wait_for_lines(&mut self, count: usize) -> Result<(), Trouble> {
        if !self.wait(|player| player.line_count() >= count)? {
            self.patience = PATIENCE_LOST;
        }
        while let Ok((number, event)) = self.events.try_recv() {
            self.handle(number, event)?;
        }
        // Who says `connection.close` closes the socket, too.
        self.wait(|player| !player.is_ending()).map(drop)
    }

    fn wait_for_quiet(&mut self, step: &Step, is_asked: bool) -> Result<(), Trouble> {
        let mut pause = match &step.action {
            Action::At { deed: Deed::Socket | Deed::Greet | Deed::Cut | Deed::Await { .. }, .. } => QUIET,
            Action::At { who, .. } if self.phase(*who) == Phase::Handshake => QUIET_HANDSHAKE,
            _ if is_asked => QUIET,
            _ => QUIET_UNASKED,
        };
        loop {
            if self.is_ending() || self.is_logging_in(step) {
                pause = QUIET_HANDSHAKE;
            }
            let Ok((number, event)) = self.events.recv_timeout(pause) else { return Ok(()) };
            self.handle(number, event)?;
            self.sync(step)?;
            pause = QUIET;
        }
    }

    fn is_ending(&self) -> bool {
        self.peers.values().any(|peer| peer.phase == Phase::Closing)
    }

    fn is_logging_in(&self, step: &Step) -> bool {
        let Action::At { who, deed: Deed::Connect(_), .. } = &step.action else { return false };
        self.phase(*who) == Phase::Handshake
    }

    /// Asks the step's channel something and waits for the answer. False if it cannot be asked.
    fn sync(&mut self, step: &Step) -> Result<bool, Trouble> {
        let Action::At { who, deed, .. } = &step.action else { return Ok(true) };
        let is_half = match deed {
            // What follows these on the channel is part of a content, or wrong before they are answered.
            Deed::Method(method, _) => {
                matches!(method.name, "basic.publish" | "channel.close" | "tx.commit" | "tx.rollback")
            }
            Deed::Publish(..) => false,
            _ => true,
        };
        let who = *who;
        let peer = self.peer(who)?;
        if is_half || !peer.is_channel_open(who.channel) {
            return Ok(false);
        }
        if let Some(channel) = peer.channels.get_mut(&who.channel) {
            channel.syncs += 1;
        }
        peer.say_on(who.channel, "channel.flow", "active")?;
        self.wait(|player| {
            let peer = player.peers.get(&who.connection);
            let channel = peer.and_then(|peer| peer.channels.get(&who.channel));
            channel.is_none_or(|channel| channel.syncs == 0)
        })
    }

    /// Ends all connections in order; what they have not told before, they tell now.
    fn finish(&mut self) -> Result<(), Trouble> {
        for peer in self.peers.values_mut() {
            if peer.phase == Phase::Open {
                peer.is_leaving = true;
                peer.phase = Phase::Closing;
                peer.say("connection.close", "code=200 text=bye")?;
            } else if peer.phase == Phase::Handshake {
                peer.cut();
            }
        }
        self.wait(|player| player.peers.values().all(|peer| peer.phase == Phase::Closed)).map(drop)
    }

    /// Listens until `is_done`. False if that took too long.
    pub(super) fn wait(&mut self, is_done: impl Fn(&Player<'_>) -> bool) -> Result<bool, Trouble> {
        let deadline = Instant::now() + self.patience;
        while !is_done(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((number, event)) = self.events.recv_timeout(left) else { return Ok(false) };
            self.handle(number, event)?;
        }
        Ok(true)
    }

    fn connect(&mut self, name: char) -> Result<&mut Peer, Trouble> {
        self.connections_made += 1;
        let peer = Peer::connect(self.target, self.connections_made, self.sender.clone())?;
        self.peers.remove(&name);
        Ok(self.peers.entry(name).or_insert(peer))
    }

    pub(super) fn peer(&mut self, who: Who) -> Result<&mut Peer, Trouble> {
        let peer = self.peers.get_mut(&who.connection);
        peer.ok_or_else(|| Trouble::new(format!("there is no connection {}", who.connection)))
    }

    fn phase(&self, who: Who) -> Phase {
        self.peers.get(&who.connection).map_or(Phase::Closed, |peer| peer.phase)
    }

    fn line_count(&self) -> usize {
        self.told_by_operator.len() + self.heard.len()
    }

    fn take_lines(&mut self) -> Vec<String> {
        let mut lines = std::mem::take(&mut self.told_by_operator);
        lines.extend(mask(&std::mem::take(&mut self.heard), &self.vhost));
        lines
    }
}
