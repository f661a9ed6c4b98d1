//! Members of a group while they run: guests of one network, or processes.

use super::{Bundles, Group, Kind, user_network};
use crate::{
    accel::Accel,
    guest::{self, Echo, Guest},
    http_client,
    qemu::{Machine, Netdev, Spec},
};
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    paths::Scratch,
};
use rustix::process::Signal;
use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

const ASK_LIMIT: Duration = Duration::from_secs(1);
const ASK_EVERY: Duration = Duration::from_millis(20);

/// What members are started with.
pub enum Start {
    /// The process.
    Processes(PathBuf),
    /// An image for each member, and how their instructions run.
    Guests(Vec<PathBuf>, Accel),
}

/// A group that runs. All of it ends with this value, gracefully or not.
pub struct Running {
    members: Vec<RunningMember>,
    /// The port of the network that guests have in common.
    network: u16,
}

struct RunningMember {
    name: String,
    /// Where this machine reaches its HTTP.
    address: Option<SocketAddr>,
    machine: RunningAs,
    status: Option<ExitStatus>,
}

enum RunningAs {
    Guest(Box<Guest>),
    Process(Child),
}

impl Running {
    /// Starts all members, whose lines are printed with their names before them.
    ///
    /// # Errors
    ///
    /// A program is missing or does not start.
    pub fn start(group: &Group, bundles: &Bundles, start: &Start) -> Result<Self> {
        let network = network_port()?;
        let starter = |place| Starter { group, bundles, place, network };
        let members = (0..group.members.len()).map(|place| starter(place).start(start));
        Ok(Self { members: members.collect::<Result<_>>()?, network })
    }

    /// Where this machine reaches a member's HTTP.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.members.iter().find(|member| member.name == name)?.address
    }

    /// The names of members, and where this machine reaches them.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, Option<SocketAddr>)> {
        self.members.iter().map(|member| (member.name.as_str(), member.address))
    }

    /// Waits until all members answer that this machine reaches.
    ///
    /// # Errors
    ///
    /// One ends, or not all answer in time.
    pub fn wait_until_all_answer(&mut self, limit: Duration) -> Result {
        let deadline = Instant::now() + limit;
        for member in &mut self.members {
            let Some(address) = member.address else { continue };
            while http_client::get(address, "/", ASK_LIMIT).is_none() {
                if let Some(status) = member.ended() {
                    fail!("{} ended ({status}) before it answered", member.name);
                }
                if Instant::now() > deadline {
                    fail!("{} gave no answer within {limit:?}", member.name);
                }
                std::thread::sleep(ASK_EVERY);
            }
        }
        Ok(())
    }

    /// Who has ended since this was asked last.
    pub fn newly_ended(&mut self) -> Vec<(String, ExitStatus)> {
        let running = self.members.iter_mut().filter(|member| member.status.is_none());
        running.filter_map(|member| Some((member.name.clone(), member.ended()?))).collect()
    }

    /// All have ended.
    pub fn is_over(&self) -> bool {
        self.members.iter().all(|member| member.status.is_some())
    }

    /// Starts a member again that has ended.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start_again(
        &mut self,
        name: &str,
        group: &Group,
        bundles: &Bundles,
        start: &Start,
    ) -> Result {
        let Some(place) = group.place(name) else { fail!("there is no appliance `{name}`") };
        let starter = Starter { group, bundles, place, network: self.network };
        self.members[place] = starter.start(start)?;
        Ok(())
    }

    /// Ends a member at once, as a power failure does.
    pub fn kill(&mut self, name: &str) {
        for member in self.members.iter_mut().filter(|member| member.name == name) {
            member.machine.signal(Signal::KILL);
            while member.ended().is_none() {
                std::thread::sleep(ASK_EVERY);
            }
        }
    }

    /// Asks all that run to stop gracefully.
    pub fn ask_to_stop(&mut self) {
        for member in self.members.iter_mut().filter(|member| member.status.is_none()) {
            member.machine.ask_to_stop();
        }
    }
}

impl RunningMember {
    fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = match &mut self.machine {
                RunningAs::Guest(guest) => guest.ended(),
                RunningAs::Process(process) => process.ended(),
            };
        }
        self.status
    }
}

impl RunningAs {
    fn signal(&self, signal: Signal) {
        match self {
            Self::Guest(guest) => guest.signal(signal),
            Self::Process(process) => process.signal(signal),
        }
    }

    fn ask_to_stop(&self) {
        match self {
            // One that does not answer is ended in the end.
            Self::Guest(guest) => {
                let _ = guest.qmp().and_then(|mut qmp| qmp.power_button());
            }
            Self::Process(process) => process.signal(Signal::TERM),
        }
    }
}

/// Starts one member.
struct Starter<'a> {
    group: &'a Group,
    bundles: &'a Bundles,
    place: usize,
    network: u16,
}

impl Starter<'_> {
    fn start(&self, start: &Start) -> Result<RunningMember> {
        let width = self.group.names().map(str::len).max().unwrap_or(0);
        let name = self.group.members[self.place].name.clone();
        let echo = Echo::Named(format!("{name:width$} | "));
        let (kind, machine) = match start {
            Start::Processes(process) => (Kind::Processes, self.process(process, &echo)?),
            Start::Guests(images, accel) => {
                (Kind::Guests, self.guest(&images[self.place], *accel, &echo)?)
            }
        };
        let address = self.group.reached_at(kind, self.place);
        Ok(RunningMember { name, address, machine, status: None })
    }

    fn process(&self, process: &Path, echo: &Echo) -> Result<RunningAs> {
        let mut command = Command::new(process);
        command.arg("--bundle").arg(&self.bundles.archives[self.place]);
        command.arg("--http").arg(self.group.listens_at(self.place).to_string());
        let mut child = Child::start(&command, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        })?;
        guest::echo_only(&mut child, echo);
        Ok(RunningAs::Process(child))
    }

    fn guest(&self, image: &Path, accel: Accel, echo: &Echo) -> Result<RunningAs> {
        let member = &self.group.members[self.place];
        let number = u8::try_from(self.place).expect("members are few");
        let of_group = Netdev::Group { port: self.network, member: number };
        let web_port = self.bundles.configs[self.place].http.port;
        let http = member.port.filter(|port| *port > 0).map(|port| (port, web_port));
        let forwards: Vec<_> =
            http.into_iter().chain(member.ports.iter().map(|port| (*port, *port))).collect();
        let has_user_network = member.uplink || !forwards.is_empty();
        let user = Netdev::UserOf { guest: user_network::address(self.place).into(), forwards };
        // A guest's own connections leave by its first card.
        let (first, second) = match (has_user_network, member.uplink) {
            (true, true) => (user, Some(of_group)),
            (true, false) => (of_group, Some(user)),
            (false, _) => (of_group, None),
        };
        let spec = Spec {
            machine: Machine::Microvm,
            accel,
            memory_mib: member.memory_mib,
            kernel: image.to_owned(),
            initrd: Some(self.bundles.archives[self.place].clone()),
            append: String::new(),
            netdev: first,
            without: &[],
            entropy: true,
            more: second.map_or_else(Vec::new, |netdev| second_card(&netdev)),
        };
        let scratch = Scratch::new()?;
        let command = spec.command(&scratch.path("qmp"))?;
        Ok(RunningAs::Guest(Box::new(Guest::start_command(&command, scratch, echo)?)))
    }
}

/// QEMU's options for a card beside the machine's own.
fn second_card(netdev: &Netdev) -> Vec<OsString> {
    let device = format!("virtio-net-device,netdev=second,mac={}", netdev.mac());
    ["-netdev".into(), netdev.option("second").into(), "-device".into(), device.into()].into()
}

/// A port at which nobody else's guests have a network.
fn network_port() -> Result<u16> {
    let say = || "this machine has no free port".to_owned();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).or_say(say)?;
    Ok(socket.local_addr().or_say(say)?.port())
}
