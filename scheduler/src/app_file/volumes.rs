//! What an app keeps beyond the end of its instances.

use scheduler_core::ids::AppName;
use scheduler_core::volume::{Mount, Reserves, VOLUMES_MOST, is_path};

use super::check::Checker;
use super::file::File;

impl Checker {
    pub(super) fn volumes(&mut self, file: &File) -> Vec<Mount> {
        let mut mounts: Vec<Mount> = Vec::new();
        for part in &file.volumes {
            let volume = &part.value;
            let (name, path, size) = (&volume.name, &volume.path, &volume.size_mb);
            let read = name.value.parse::<AppName>();
            if read.is_err() {
                let message = format!("`{}` is no name of a volume", name.value);
                self.wrong("app-volume", message, name.span, "small letters, digits and hyphens");
            }
            if !is_path(&path.value) {
                let message = format!("`{}` is no path of a volume", path.value);
                self.wrong("app-volume", message, path.span, "such as /var/lib/app");
                self.hint("inside the container; without one, below the instance's own folder");
            }
            if size.value == 0 {
                self.wrong("app-volume", "a volume has a size", size.span, "in MiB, at least 1");
            }
            let is_again =
                |mount: &Mount| mount.name.as_str() == name.value || mount.path == path.value;
            if mounts.iter().any(is_again) {
                let message = "a volume has a name and a path of its own";
                self.wrong("app-volume", message, part.span, "there is one like it before");
            }
            let (path, size_mib) = (path.value.clone(), size.value);
            mounts.extend(read.ok().map(|name| Mount { name, path, size_mib }));
        }
        if let (true, Some(last)) = (mounts.len() > VOLUMES_MOST, file.volumes.last()) {
            let message = format!("there are {} volumes, at most {VOLUMES_MOST}", mounts.len());
            self.wrong("app-volume", message, last.span, "too many");
        }
        mounts
    }

    pub(super) fn reserves(&mut self, file: &File) -> Reserves {
        let Some(reserve) = &file.reserve else { return Reserves::default() };
        if file.volumes.is_empty() {
            let message = "only for instances with `volumes` something is reserved";
            self.wrong("app-reserve", message, reserve.span, "of no use here");
            self.hint("instances without volumes are started wherever there is room");
        }
        match reserve.value.as_str() {
            "all" => Reserves::All,
            "disk" => Reserves::Disk,
            other => {
                let message = format!("`{other}` is nothing that can be reserved");
                self.wrong("app-reserve", message, reserve.span, "`all` or `disk`");
                self.hint("`all` keeps cores, memory and ports, too, while an instance is away");
                Reserves::default()
            }
        }
    }
}
