//! `[io]` What is in the archives, and which suites it comes from (lab.md 1.5).

use super::deb::FileTree;
use super::index::Suites;
use super::repack::Archive;
use crate::error::Error;

/// Hosts run this suite: programs of later suites may need a later C library than it has.
const HOSTS_SUITE: &str = "bookworm";

const JAVA: &str = "usr/share/java/";

/// Jars that a ZooKeeper server needs; a suite has some under one name, some under another.
const ZOOKEEPER_PACKAGES: &[&str] = &[
    "libzookeeper-java",
    "libslf4j-java",
    "liblog4j1.2-java",
    "libreload4j-java",
    "libnetty-java",
    "libnetty-buffer-java",
    "libnetty-common-java",
    "libjctools-java",
    "libdropwizard-metrics-java",
    "libsnappy-java",
    "libcommons-cli-java",
    "libcommons-io-java",
    "libjackson2-annotations-java",
    "libjackson2-core-java",
    "libjackson2-databind-java",
    "libjline2-java",
    "libyetus-java",
];
const ZOOKEEPER_JARS: &[&str] = &[
    "zookeeper",
    "zookeeper-jute",
    "slf4j-api",
    "slf4j-log4j12",
    "slf4j-reload4j",
    "log4j-1.2",
    "reload4j",
    "netty-all",
    "netty-buffer",
    "netty-codec",
    "netty-common",
    "netty-handler",
    "netty-resolver",
    "netty-transport",
    "netty-transport-native-unix-common",
    "netty-transport-native-epoll",
    "netty-transport-classes-epoll",
    "jctools-core",
    "metrics-core",
    "snappy-java",
    "commons-cli",
    "commons-io",
    "audience-annotations",
    "jackson-annotations",
    "jackson-core",
    "jackson-databind",
    "jline2",
    "jline",
];
/// Without these it isn't a ZooKeeper.
const ZOOKEEPER_REQUIRED: &[&str] = &["zookeeper", "zookeeper-jute", "slf4j-api", "metrics-core"];

const LOG4J_PROPERTIES: &str = "\
log4j.rootLogger=INFO, CONSOLE
log4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender
log4j.appender.CONSOLE.layout=org.apache.log4j.PatternLayout
log4j.appender.CONSOLE.layout.ConversionPattern=%d{ISO8601} %-5p [%t:%C{1}@%L] - %m%n
";

/// Name in the archive, package and the places where one suite or another has it.
type Program = (&'static str, &'static str, &'static [&'static str]);

/// Programs of the release's own suite.
const DOCKER_PROGRAMS: &[Program] = &[
    ("dockerd", "docker.io", &["usr/sbin/dockerd", "usr/bin/dockerd"]),
    (
        "docker-proxy",
        "docker.io",
        &["usr/sbin/docker-proxy", "usr/bin/docker-proxy", "usr/libexec/docker/docker-proxy"],
    ),
    ("docker", "docker.io docker-cli", &["usr/bin/docker"]),
    ("containerd", "containerd", &["usr/bin/containerd"]),
    ("containerd-shim-runc-v2", "containerd", &["usr/bin/containerd-shim-runc-v2"]),
    ("ctr", "containerd", &["usr/bin/ctr"]),
];
/// Programs that later suites link against a later C library than the hosts have.
const DOCKER_HOST_PROGRAMS: &[Program] = &[
    ("runc", "runc", &["usr/sbin/runc", "usr/bin/runc"]),
    ("docker-init", "tini", &["usr/bin/tini-static"]),
];
const CONSUL_PROGRAMS: &[Program] = &[("consul", "consul", &["usr/bin/consul"])];

/// How one archive is made.
#[derive(Debug)]
pub struct Recipe {
    /// What it is a release of.
    pub component: &'static str,
    /// Where its packages come from.
    pub suite: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    ZooKeeper,
    Consul,
    Docker,
}

/// What a recipe has made.
#[derive(Debug)]
pub struct Release {
    /// The upstream version of its main package.
    pub version: String,
    /// Its files.
    pub archive: Archive,
    /// Packages and versions.
    pub made_from: Vec<String>,
}

/// All archives of the lab.
pub const ALL: &[Recipe] = &[
    Recipe { component: "zookeeper", suite: "bookworm", kind: Kind::ZooKeeper },
    Recipe { component: "zookeeper", suite: "trixie", kind: Kind::ZooKeeper },
    Recipe { component: "zookeeper", suite: "forky", kind: Kind::ZooKeeper },
    Recipe { component: "consul", suite: "bullseye", kind: Kind::Consul },
    Recipe { component: "docker", suite: "bookworm", kind: Kind::Docker },
    Recipe { component: "docker", suite: "trixie", kind: Kind::Docker },
];

impl Recipe {
    /// Makes the archive's contents.
    ///
    /// # Errors
    /// A package or a file of it is missing or not genuine.
    pub fn make(&self, suites: &mut Suites<'_>) -> Result<Release, Error> {
        match self.kind {
            Kind::ZooKeeper => zookeeper(suites, self.suite),
            Kind::Consul => {
                let mut kitchen = Kitchen::new(suites);
                kitchen.programs(self.suite, CONSUL_PROGRAMS)?;
                kitchen.finish("consul")
            }
            Kind::Docker => {
                let mut kitchen = Kitchen::new(suites);
                kitchen.programs(self.suite, DOCKER_PROGRAMS)?;
                kitchen.programs(HOSTS_SUITE, DOCKER_HOST_PROGRAMS)?;
                kitchen.finish("docker.io")
            }
        }
    }
}

/// An archive in the making.
struct Kitchen<'a, 'b> {
    suites: &'a mut Suites<'b>,
    archive: Archive,
    /// Name, upstream version and full version of the packages used.
    used: Vec<(String, String, String)>,
}

impl<'a, 'b> Kitchen<'a, 'b> {
    fn new(suites: &'a mut Suites<'b>) -> Self {
        Self { suites, archive: Archive::default(), used: Vec::new() }
    }

    /// Unpacks a package, if the suite has it.
    fn unpack(
        &mut self,
        suite: &str,
        name: &str,
        tree: &mut FileTree,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), Error> {
        let Some(package) = self.suites.package(suite, name)? else { return Ok(()) };
        let used =
            (name.to_owned(), package.upstream_version().to_owned(), package.version.clone());
        if !self.used.contains(&used) {
            self.used.push(used);
        }
        self.suites.unpack(&package, tree, wanted)
    }

    /// Adds programs as `bin/…`.
    fn programs(&mut self, suite: &str, programs: &[Program]) -> Result<(), Error> {
        let mut tree = FileTree::default();
        let mut packages: Vec<&str> =
            programs.iter().flat_map(|(_, packages, _)| packages.split(' ')).collect();
        packages.dedup();
        for package in packages {
            let wanted = |path: &str| programs.iter().any(|(_, _, places)| places.contains(&path));
            self.unpack(suite, package, &mut tree, wanted)?;
        }
        for (name, packages, places) in programs {
            let file = places.iter().find_map(|place| tree.resolve(place));
            let Some((_, bytes)) = file else {
                return Err(missing(name, packages, suite));
            };
            self.archive.add_program(&format!("bin/{name}"), bytes.to_owned());
        }
        Ok(())
    }

    fn finish(self, main: &str) -> Result<Release, Error> {
        let version = self.used.iter().find(|(name, _, _)| name == main);
        let Some((_, version, _)) = version else {
            return Err(missing(main, main, "its suite"));
        };
        let version = version.clone();
        let made_from =
            self.used.iter().map(|(name, _, version)| format!("{name}={version}")).collect();
        Ok(Release { version, archive: self.archive, made_from })
    }
}

fn zookeeper(suites: &mut Suites<'_>, suite: &str) -> Result<Release, Error> {
    let mut kitchen = Kitchen::new(suites);
    let mut tree = FileTree::default();
    for package in ZOOKEEPER_PACKAGES {
        kitchen.unpack(suite, package, &mut tree, |path| {
            path.strip_prefix(JAVA).is_some_and(|name| !name.contains('/'))
        })?;
    }
    // One implementation of log4j's classes: the maintained one where the suite has it.
    let log4j_is_replaced = tree.resolve(&format!("{JAVA}reload4j.jar")).is_some();
    for jar in ZOOKEEPER_JARS {
        if log4j_is_replaced && *jar == "log4j-1.2" {
            continue;
        }
        match tree.resolve(&format!("{JAVA}{jar}.jar")) {
            Some((name, bytes)) => kitchen.archive.add(&format!("lib/{name}"), bytes.to_owned()),
            None if ZOOKEEPER_REQUIRED.contains(jar) => {
                return Err(missing(jar, "libzookeeper-java and what it needs", suite));
            }
            None => {}
        }
    }
    kitchen.archive.add("conf/log4j.properties", LOG4J_PROPERTIES.as_bytes().to_vec());
    kitchen.finish("libzookeeper-java")
}

fn missing(name: &str, packages: &str, suite: &str) -> Error {
    Error::refused(format!("find {name}"), format!("it isn't in {packages} of {suite}"))
}
