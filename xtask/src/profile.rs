//! `[io]` `cargo xtask profile-services`: what real image and video work costs on this machine, as a
//! scenario of the simulator. `ImageMagick` and `FFmpeg` make their own sources, so nothing is downloaded.
//!
//! Service times are processor time, which others on the machine hardly change. How much slower a
//! task gets beside others can only be seen on a clock, so that is measured only while nobody else
//! works here, and left out otherwise.

mod document;
mod measure;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;

use crate::error::{self, Doing, Error};
use crate::lab::directories::write_file;
use crate::lab::packages::{self, Needed};
use crate::workspace;
use document::Profile;
use measure::{Curve, Measured};

/// Arguments of `profile-services`.
#[derive(Debug, Clone, Args)]
pub struct ProfileArguments {
    /// Runs of each command on each of its sources
    #[arg(long, value_name = "COUNT", default_value_t = 12,
          value_parser = clap::value_parser!(u16).range(4..=1_000))]
    runs: u16,
    /// Where the scenario is written [default: scenarios/services.yml]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const NEEDED: &[Needed] = &[
    ("imagemagick", "/usr/bin/convert", "makes and changes images"),
    ("ffmpeg", "/usr/bin/ffmpeg", "makes and changes videos"),
];

/// The first is looked for where Debian puts it: others of that name may come first in the path.
const CONVERT: &str = "/usr/bin/convert";
const FFMPEG: &str = "/usr/bin/ffmpeg";

/// What kind of work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Image,
    Video,
}

/// A command of the platform, and what does such work here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    /// Its name in scenarios.
    pub name: &'static str,
    pub kind: Kind,
    /// The arguments; SOURCE and OUT stand for files.
    pub arguments: &'static [&'static str],
    /// How the name of what it writes ends.
    pub writes: &'static str,
}

/// Commands as the platform has them (DESIGN 1). One thread each: instances have one core.
pub(crate) const SERVICES: [Service; 6] = [
    Service {
        name: "imageView2",
        kind: Kind::Image,
        arguments: &["SOURCE", "-thumbnail", "300x300", "-quality", "85", "OUT"],
        writes: "jpg",
    },
    Service {
        name: "imageMogr2",
        kind: Kind::Image,
        arguments: &["SOURCE", "-resize", "50%", "-rotate", "90", "-quality", "85", "OUT"],
        writes: "jpg",
    },
    Service {
        name: "watermark",
        kind: Kind::Image,
        arguments: &[
            "SOURCE",
            "MARK",
            "-gravity",
            "southeast",
            "-composite",
            "-quality",
            "85",
            "OUT",
        ],
        writes: "jpg",
    },
    Service {
        name: "vframe",
        kind: Kind::Video,
        arguments: &["-ss", "2", "-i", "SOURCE", "-frames:v", "1", "OUT"],
        writes: "jpg",
    },
    Service {
        name: "segment",
        kind: Kind::Video,
        arguments: &["-i", "SOURCE", "-c", "copy", "-f", "mpegts", "OUT"],
        writes: "ts",
    },
    Service {
        name: "avthumb",
        kind: Kind::Video,
        arguments: &[
            "-i",
            "SOURCE",
            "-vf",
            "scale=640:-2",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-c:a",
            "aac",
            "OUT",
        ],
        writes: "mp4",
    },
];

/// Sizes of photographs: a page's picture, a screen's, a telephone's, a camera's.
pub(crate) const IMAGES: [(&str, u64); 4] =
    [("640x480", 1), ("1600x1200", 2), ("3264x2448", 3), ("6000x4000", 4)];
/// Sizes and seconds of clips.
pub(crate) const VIDEOS: [(&str, u64); 3] = [("640x360", 5), ("1280x720", 5), ("1280x720", 20)];

/// Measures and writes the profile.
///
/// # Errors
/// The packages can't be installed, or a command fails.
pub fn run(arguments: &ProfileArguments) -> Result<ExitCode, Error> {
    packages::install(NEEDED)?;
    let folder = workspace::target().join("profile-services");
    fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
    let sources = sources(&folder)?;
    let mut measured = Vec::new();
    for service in SERVICES {
        eprintln!("xtask: {}: {} runs on each source", service.name, arguments.runs);
        measured.push(Measured::of(service, &sources, arguments.runs, &folder)?);
    }
    let others = measured.iter().map(|one| one.others).fold(0.0, f64::max);
    let mut curves = Vec::new();
    for kind in [Kind::Image, Kind::Video] {
        match Curve::of(kind, &sources, &folder)? {
            Some(curve) => curves.push(curve),
            None => eprintln!(
                "xtask: others work on this machine, so how much slower tasks get beside each other \
                 can't be measured now"
            ),
        }
    }
    let profile =
        Profile { measured, curves, others, tools: [version(CONVERT)?, version(FFMPEG)?] };
    let default = || workspace::root().join("scenarios/services.yml");
    let output = arguments.output.clone().unwrap_or_else(default);
    write_file(&output, profile.text().as_bytes())?;
    print!("{}", profile.table());
    println!("written to {}", output.display());
    Ok(ExitCode::SUCCESS)
}

/// The files that are worked on.
#[derive(Debug)]
pub(crate) struct Sources {
    pub images: Vec<PathBuf>,
    pub videos: Vec<PathBuf>,
    pub mark: PathBuf,
}

/// Makes what isn't there yet.
fn sources(folder: &Path) -> Result<Sources, Error> {
    let mark = folder.join("mark.png");
    let drawn = ["-size", "200x80", "xc:none", "-fill", "white", "-draw", "circle 40,40 40,10"];
    make(CONVERT, &drawn, &mark)?;
    let mut images = Vec::new();
    for (size, seed) in IMAGES {
        // Fractal clouds with noise are about as hard to compress as photographs.
        let path = folder.join(format!("{size}.jpg"));
        let seed = seed.to_string();
        let arguments = [
            "-size",
            size,
            "-seed",
            &seed,
            "plasma:fractal",
            "+noise",
            "Gaussian",
            "-quality",
            "90",
        ];
        make(CONVERT, &arguments, &path)?;
        images.push(path);
    }
    let mut videos = Vec::new();
    for (size, seconds) in VIDEOS {
        let path = folder.join(format!("{size}-{seconds}s.mp4"));
        let picture =
            format!("mandelbrot=size={size}:rate=30,noise=alls=12:allf=t,trim=duration={seconds}");
        let sound = format!("sine=frequency=440:duration={seconds}");
        let arguments = [
            "-f",
            "lavfi",
            "-i",
            &picture,
            "-f",
            "lavfi",
            "-i",
            &sound,
            "-pix_fmt",
            "yuv420p",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-c:a",
            "aac",
            "-shortest",
        ];
        make(FFMPEG, &arguments, &path)?;
        videos.push(path);
    }
    Ok(Sources { images, videos, mark })
}

fn make(program: &str, arguments: &[&str], path: &Path) -> Result<(), Error> {
    if path.exists() {
        return Ok(());
    }
    eprintln!("xtask: making {}", path.display());
    let unfinished = path
        .with_file_name(format!("part-{}", path.file_name().unwrap_or_default().to_string_lossy()));
    let mut command = quiet(program);
    command.args(arguments).arg(&unfinished);
    error::capture(&mut command).doing(|| format!("make {}", path.display()))?;
    fs::rename(&unfinished, path).doing(|| format!("make {}", path.display()))
}

/// A program that asks nothing and says little, on one thread.
pub(crate) fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("MAGICK_THREAD_LIMIT", "1").env("OMP_NUM_THREADS", "1");
    if program == FFMPEG {
        command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]);
        command.args(["-threads", "1", "-filter_threads", "1"]);
    }
    command
}

impl Service {
    /// The command on a source. Several at once write to files of their own.
    pub(crate) fn command(&self, source: &Path, mark: &Path, out: &Path) -> Command {
        let program = if self.kind == Kind::Image { CONVERT } else { FFMPEG };
        let mut command = quiet(program);
        for argument in self.arguments {
            match *argument {
                "SOURCE" => command.arg(source),
                "MARK" => command.arg(mark),
                "OUT" if self.kind == Kind::Video => command.args(["-threads", "1"]).arg(out),
                "OUT" => command.arg(out),
                other => command.arg(other),
            };
        }
        command
    }

    /// Its arguments for people.
    pub(crate) fn words(&self) -> String {
        let program = if self.kind == Kind::Image { "convert" } else { "ffmpeg" };
        format!("{program} {}", self.arguments.join(" "))
    }
}

/// The first line that a program says about itself, up to where it speaks of its makers.
fn version(program: &str) -> Result<String, Error> {
    let output = error::capture(Command::new(program).arg("-version"))
        .doing(|| format!("ask {program} for its version"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().unwrap_or_default().trim_start_matches("Version: ");
    let words = line.split(' ').take_while(|word| *word != "Copyright" && !word.contains("://"));
    Ok(words.take(4).collect::<Vec<&str>>().join(" "))
}
