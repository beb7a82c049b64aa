//! The language of the golden scripts: one command per line, nodes are letters in ring order.
//!
//! | command | what happens |
//! |---|---|
//! | `ring 3` | three nodes, started, linked, and at rest |
//! | `machines 3` | three machines that are off |
//! | `start a`, `restart b [alone]` | a machine starts, and registers; `restart` also links it to all that run |
//! | `boot a` | a machine starts, and does not register yet |
//! | `crash b [keep n] [lose data]` | it stops; the first n changes under way are still durable |
//! | `register b [late x]`, `down b` | the control group decides so; or the registration is kept for later |
//! | `start partition with b` | as the controller does when no member lives |
//! | `control [n\|all]`, `void` | the next proposals are decided, or lost |
//! | `learn a [to n]` | a node learns what was decided, up to a version |
//! | `lease a 100`, `no lease a`, `stall a 100` | a grant for so long; no grants; time passes at its next capture |
//! | `put a k=1 [nx] [px=100]`, `del`, `incr`, `lapse a k 1.2` | a client of node a writes |
//! | `get a k`, `page a [from..to] [count]`, `count a` | a client of node a asks |
//! | `deliver a->b [n\|all]`, `lose a->b`, `double a->b` | the next messages over a link |
//! | `keep a->b x`, `late x` | takes a copy of the next message, and hands it over later |
//! | `link up a->b`, `link down a->b`, `a-b` for both ways | links |
//! | `sync b [n]`, `apply b [n]`, `read b [n]` | changes become durable, go to the data; the disk is read |
//! | `damage b n`, `wipe b` | the last n changes on the disk of b, which is off, are lost; all is |
//! | `trim b n` | the entries up to n leave the log on b's disk, as far as the data holds them |
//! | `tick 100`, `skew b 500` | time passes, a wall clock is ahead |
//! | `carry` | all that is said or proposed arrives, and what it leads to |
//! | `settle`, `rest` | all that is under way happens, time stands still or passes; only answers are shown |
//! | `watch 1`, `watch all` | show what concerns another partition than the first |
//! | `state`, `suspects` | what every member holds, whom it accuses |
//!
//! Everything that a command leads to is shown below it.

use bytes::Bytes;
use simpledynamo_chain::{Condition, Expiry, Message, Operation, PageRequest, Query, ReadFrom, Version};
use simpledynamo_topology::{Command, Epoch, Member, PartitionId};

use crate::cluster::{Cluster, Parcel, node_id, show_node, show_reading};

pub(crate) struct Script {
    cluster: Cluster,
    /// The partition that is shown; all if `None`.
    watched: Option<PartitionId>,
    kept: Vec<(String, usize, usize, Parcel)>,
    late: Vec<(String, Command)>,
    output: String,
}

/// Runs a script and returns its transcript.
///
/// # Panics
/// When a line is no command, or an invariant breaks.
pub(crate) fn run(script: &str) -> String {
    let mut run = Script {
        cluster: Cluster::new(1),
        watched: Some(PartitionId(0)),
        kept: Vec::new(),
        late: Vec::new(),
        output: String::new(),
    };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        run.output.push_str(&format!("> {line}\n"));
        let words: Vec<&str> = line.split_whitespace().collect();
        run.command(&words);
        run.show();
    }
    run.output
}

impl Script {
    fn command(&mut self, words: &[&str]) {
        match words {
            ["ring", nodes] => self.ring(number(nodes)),
            ["machines", nodes] => self.machines(number(nodes)),
            ["read", "from", "tail"] => self.cluster.read_from = ReadFrom::Tail,
            ["start", node] => self.cluster.start(index(node)),
            ["restart", node] => self.restart(index(node)),
            ["restart", node, "alone"] => self.cluster.start(index(node)),
            ["crash", node, rest @ ..] => self.crash(index(node), rest),
            ["damage", node, count] => self.damage(index(node), number(count)),
            ["link", "up", link] => links(link).for_each(|(x, y)| self.cluster.connect_at_once(x, y)),
            ["link", "down", link] => links(link).for_each(|(x, y)| self.cluster.cut_at_once(x, y)),
            ["settle"] => self.quietly(Cluster::settle),
            ["rest"] => self.quietly(Cluster::rest),
            ["carry"] => while self.cluster.carry_once() {},
            ["tick", millis] => self.cluster.tick(number(millis) as u64),
            ["skew", node, millis] => self.cluster.machines[index(node)].skew = number(millis) as u64,
            ["watch", "all"] => self.watched = None,
            ["watch", partition] => self.watched = Some(PartitionId(number(partition) as u16)),
            ["state"] => self.state(),
            ["suspects"] => self.suspects(),
            _ => self.control(words),
        }
    }

    fn control(&mut self, words: &[&str]) {
        match words {
            ["boot", node] => self.cluster.boot(index(node)),
            ["register", node] => self.cluster.register(index(node)),
            ["register", node, "late", name] => {
                let command = self.cluster.registration(index(node));
                self.late.push(((*name).to_owned(), command));
            }
            ["down", node] => self.cluster.down(index(node)).expect("its session lives"),
            ["start", "partition", "with", node] => self.start_partition(index(node)),
            ["control"] => self.moved(words, Cluster::decide),
            ["control", "all"] => while self.cluster.decide() {},
            ["control", count] => (0..number(count)).for_each(|_| self.moved(words, Cluster::decide)),
            ["void"] => drop(self.cluster.control.proposals.pop_front().expect("something is proposed")),
            ["learn", node] => {
                let version = self.cluster.control.version();
                self.moved(words, |cluster| cluster.learn(index(node), version));
            }
            ["learn", node, "to", version] => {
                self.moved(words, |cluster| cluster.learn(index(node), number(version) as u64));
            }
            ["lease", node, millis] => {
                let until = self.cluster.millis + number(millis) as u64;
                self.moved(words, |cluster| cluster.grant(index(node), until));
            }
            ["no", "lease", node] => self.cluster.machines[index(node)].is_granted = false,
            ["stall", node, millis] => self.cluster.machines[index(node)].stall = number(millis) as u64,
            ["wipe", node] => {
                self.cluster.machines[index(node)].wipe();
                self.cluster.checks.on_wipe(index(node), &self.cluster.control);
            }
            ["trim", node, up_to] => {
                let partition = self.watched.unwrap_or_default();
                self.cluster.machines[index(node)].trim(partition, number(up_to) as u64);
            }
            _ => self.step(words),
        }
    }

    fn start_partition(&mut self, node: usize) {
        let partition = self.watched.unwrap_or_default();
        let topology = self.cluster.control.latest();
        let epoch = topology.form(partition).expect("it was formed once").epoch;
        let member = Member { node: node_id(node), session: topology.session(node_id(node)) };
        let generation = topology.generation();
        self.cluster.commit(&Command::Start { partition, epoch, member, generation }).ok();
    }

    /// Runs something of which only answers are shown.
    fn quietly(&mut self, run: impl FnOnce(&mut Cluster)) {
        run(&mut self.cluster);
        if let Some(trace) = &mut self.cluster.trace {
            trace.retain(|(_, line)| line.contains(" answers "));
        }
    }

    fn step(&mut self, words: &[&str]) {
        match words {
            ["sync", node] => self.moved(words, |cluster| cluster.sync(index(node), usize::MAX)),
            ["sync", node, count] => self.moved(words, |cluster| cluster.sync(index(node), number(count))),
            ["apply", node] => self.moved(words, |cluster| cluster.apply(index(node), usize::MAX)),
            ["apply", node, count] => self.moved(words, |cluster| cluster.apply(index(node), number(count))),
            ["read", node] => {
                let pending = self.cluster.machines[index(node)].reads_pending();
                assert!(pending > 0, "{node} wants nothing to be read");
                (0..pending).for_each(|_| self.moved(words, |cluster| cluster.read_disk(index(node))));
            }
            ["read", node, count] => {
                (0..number(count)).for_each(|_| self.moved(words, |cluster| cluster.read_disk(index(node))));
            }
            ["deliver", link] => self.deliver(link, 1),
            ["deliver", link, "all"] => self.deliver(link, usize::MAX),
            ["deliver", link, count] => self.deliver(link, number(count)),
            ["lose", link] => {
                let (from, to) = one_way(link);
                self.cluster.network.take(from, to).expect("there is a message to lose");
            }
            ["double", link] => {
                let (from, to) = one_way(link);
                if let Some(Parcel::Message(envelope)) = self.cluster.network.front(from, to)
                    && let Message::Write { id, .. } = envelope.message
                {
                    self.cluster.checks.doubled.insert(id);
                }
                assert!(self.cluster.network.double(from, to), "there is a message to double");
            }
            ["keep", link, name] => {
                let (from, to) = one_way(link);
                let parcel =
                    self.cluster.network.front(from, to).expect("there is a message to keep").clone();
                self.kept.push(((*name).to_owned(), from, to, parcel));
            }
            ["late", name] if self.late.iter().any(|(kept, _)| kept == name) => {
                let at = self.late.iter().position(|(kept, _)| kept == name).expect("it is there");
                let (_, command) = self.late.remove(at);
                self.cluster.commit(&command).ok();
            }
            ["late", name] => {
                let at = self.kept.iter().position(|(kept, ..)| kept == name).expect("it was kept before");
                let (_, from, to, parcel) = self.kept.remove(at);
                self.cluster.hand_over(from, to, parcel);
            }
            _ => self.call(words),
        }
    }

    fn call(&mut self, words: &[&str]) {
        match words {
            ["put", node, pair, options @ ..] => {
                let (key, value) = pair.split_once('=').expect("key=value");
                self.write(index(node), key, set(value, options));
            }
            ["del", node, key] => {
                let operation = Operation::Delete { condition: Condition::Always, want_old: false };
                self.write(index(node), key, operation);
            }
            ["incr", node, key] => self.write(index(node), key, Operation::Increment(1)),
            ["lapse", node, key, version] => {
                let (epoch, seq) = version.split_once('.').expect("epoch.seq");
                let version = Version { epoch: Epoch(number(epoch) as u64), seq: number(seq) as u64 };
                self.write(index(node), key, Operation::Lapse { version });
            }
            ["get", node, key] => {
                let answer = self.cluster.read(index(node), key);
                self.answer(index(node), answer);
            }
            ["count", node] => self.ask(index(node), Query::Count),
            ["page", node] => self.ask(index(node), page(0, (1 << 52) - 1, 10)),
            ["page", node, range, count] => {
                let (from, to) = range.split_once("..").expect("from..to");
                self.ask(index(node), page(number(from) as u64, number(to) as u64, number(count) as u32));
            }
            _ => panic!("no such command: {words:?}"),
        }
    }

    fn machines(&mut self, nodes: usize) {
        let read_from = self.cluster.read_from;
        self.cluster = Cluster::new(nodes);
        self.cluster.read_from = read_from;
        self.cluster.trace = Some(Vec::new());
    }

    fn ring(&mut self, nodes: usize) {
        self.machines(nodes);
        self.cluster.trace = None;
        for node in 0..nodes {
            self.cluster.start(node);
        }
        for (from, to) in self.cluster.pairs() {
            self.cluster.connect(from, to);
        }
        self.cluster.settle();
        self.cluster.trace = Some(Vec::new());
    }

    fn restart(&mut self, node: usize) {
        self.cluster.start(node);
        for other in 0..self.cluster.machines.len() {
            if other != node && self.cluster.is_up(other) {
                self.cluster.connect_at_once(other, node);
                self.cluster.connect_at_once(node, other);
            }
        }
    }

    fn crash(&mut self, node: usize, rest: &[&str]) {
        let (kept, data_lost) = match rest {
            [] => (0, false),
            ["keep", count] => (number(count), false),
            ["lose", "data"] => (0, true),
            ["keep", count, "lose", "data"] => (number(count), true),
            _ => panic!("crash {rest:?}?"),
        };
        self.cluster.crash(node, kept, data_lost);
        for other in 0..self.cluster.machines.len() {
            if self.cluster.is_up(other) {
                while self.cluster.hear(other, node) {}
            }
        }
    }

    fn damage(&mut self, node: usize, count: usize) {
        assert!(!self.cluster.is_up(node), "disks are damaged while their machines are off");
        let machine = &mut self.cluster.machines[node];
        machine.lose_log_end(count);
        machine.data = Default::default();
        self.cluster.checks.on_damage(node, &self.cluster.machines[node]);
    }

    fn moved(&mut self, words: &[&str], step: impl FnOnce(&mut Cluster) -> bool) {
        assert!(step(&mut self.cluster), "{words:?} does nothing");
    }

    fn deliver(&mut self, link: &str, count: usize) {
        let (from, to) = one_way(link);
        for delivered in 0..count {
            if !self.cluster.deliver(from, to) {
                assert!(delivered > 0, "nothing to deliver {link}");
                assert_eq!(count, usize::MAX, "{link} had only {delivered} messages");
                return;
            }
        }
    }

    fn write(&mut self, node: usize, key: &str, operation: Operation) {
        self.cluster.write(node, key, operation);
    }

    fn ask(&mut self, node: usize, query: Query) {
        let answer = self.cluster.ask(node, self.watched.unwrap_or_default(), query);
        self.answer(node, answer);
    }

    fn answer(&mut self, node: usize, answer: Result<simpledynamo_chain::Reading, u64>) {
        let me = show_node(node);
        match answer {
            Ok(reading) => self.output.push_str(&format!("{me} answers: {}\n", show_reading(&reading))),
            Err(request) => self.output.push_str(&format!("{me} asks as #{request}\n")),
        }
    }

    fn show(&mut self) {
        let Some(trace) = &mut self.cluster.trace else { return };
        for (partition, line) in trace.drain(..) {
            if partition.is_none() || self.watched.is_none() || partition == self.watched {
                self.output.push_str(&line);
                self.output.push('\n');
            }
        }
    }

    fn state(&mut self) {
        for (at, partition) in self.cluster.ring.partitions().iter().enumerate() {
            let id = PartitionId(at as u16);
            if self.watched.is_some_and(|watched| watched != id) {
                continue;
            }
            for &node in &partition.preference {
                let line = self.member_state(node, id);
                self.output.push_str(&line);
                self.output.push('\n');
            }
        }
    }

    fn suspects(&mut self) {
        for (index, machine) in self.cluster.machines.iter().enumerate() {
            let suspects = machine.node.iter().flat_map(|node| node.suspects());
            for suspect in
                suspects.filter(|suspect| self.watched.is_none_or(|watched| watched == suspect.partition))
            {
                let (me, named) = (show_node(index), show_node(suspect.node.index()));
                self.output.push_str(&format!("{me} says that {named} holds up epoch {}\n", suspect.epoch));
            }
        }
    }

    fn member_state(&self, node: usize, partition: PartitionId) -> String {
        let me = show_node(node);
        let machine = &self.cluster.machines[node];
        let Some(running) = &machine.node else { return format!("{me} partition {partition} off") };
        let replica = &running.replicas()[&partition];
        let log = replica.log();
        let phase = match (replica.form(), replica.is_serving()) {
            (None, _) if replica.is_joining() => "joining".to_owned(),
            (None, _) if running.offers().iter().any(|offer| offer.partition == partition) => {
                "offering".to_owned()
            }
            (None, _) => "idle".to_owned(),
            (Some(form), false) => format!("forming epoch {}", form.epoch),
            (Some(form), true) => format!("serving epoch {}", form.epoch),
        };
        let pairs: Vec<String> = machine
            .data
            .records
            .iter()
            .filter(|(key, _)| self.cluster.partition_of(&key.key()) == partition)
            .map(|(key, record)| {
                let (key, value) = (key.key(), &record.value);
                format!("{}={}@{}", key.escape_ascii(), value.escape_ascii(), record.version)
            })
            .collect();
        let (end, watermark) = (log.end, log.watermark);
        format!(
            "{me} partition {partition} {phase} end {end} watermark {watermark} data [{}]",
            pairs.join(" ")
        )
    }
}

fn set(value: &str, options: &[&str]) -> Operation {
    let mut condition = Condition::Always;
    let mut expiry = Expiry::Clear;
    for option in options {
        match option.split_once('=') {
            None if *option == "nx" => condition = Condition::Absent,
            None if *option == "xx" => condition = Condition::Present,
            Some(("px", millis)) => expiry = Expiry::In(number(millis) as u64),
            _ => panic!("no such option: {option}"),
        }
    }
    Operation::Set { value: Bytes::from(value.to_owned()), condition, expiry, want_old: false }
}

fn page(from: u64, to: u64, count: u32) -> Query {
    Query::Page(PageRequest { from, to, count, values: true, pattern: None })
}

fn number(word: &str) -> usize {
    word.parse().unwrap_or_else(|_| panic!("{word} is no number"))
}

fn index(word: &str) -> usize {
    let [letter @ b'a'..=b'e'] = word.as_bytes() else { panic!("{word} is no node") };
    usize::from(letter - b'a')
}

fn one_way(link: &str) -> (usize, usize) {
    let (from, to) = link.split_once("->").expect("a link, a->b");
    (index(from), index(to))
}

/// One link, or both between two nodes.
fn links(link: &str) -> impl Iterator<Item = (usize, usize)> {
    let both = match link.split_once("->") {
        Some(_) => vec![one_way(link)],
        None => {
            let (x, y) = link.split_once('-').expect("links, a-b");
            vec![(index(x), index(y)), (index(y), index(x))]
        }
    };
    both.into_iter()
}
