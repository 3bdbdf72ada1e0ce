//! What `provision lint` does of 1,000 hosts and 500 tasks: reading, checking, comparing dialects.
//! The limit is 2 s (issue 6); `cargo bench -p provision-engine --bench lint` measures.
#![allow(missing_docs, clippy::expect_used, reason = "a bench")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use criterion::{Criterion, criterion_group, criterion_main};
use provision_engine::load::{LoadRequest, load};
use provision_playbook::Dialect;

const HOSTS: usize = 1_000;
const TASKS: usize = 500;

fn write(folder: &Path) -> (PathBuf, PathBuf) {
    let mut hosts = String::from("[web]\n");
    for number in 0..HOSTS {
        let _ = writeln!(
            hosts,
            "web{number} ansible_host=10.0.{}.{} rack={}",
            number / 256,
            number % 256,
            number % 40
        );
    }
    hosts.push_str("[web:vars]\nport=8080\n");
    let mut play = String::from("- hosts: web\n  vars:\n    base: /srv\n  tasks:\n");
    for number in 0..TASKS {
        let _ = write!(
            play,
            "    - name: settings {number}\n      ansible.builtin.lineinfile:\n        path: \
             \"{{{{ base }}}}/conf.{number}\"\n        line: \"port = {{{{ port | int + {number} \
             }}}}\"\n        mode: \"0644\"\n      loop: [a, b]\n      when: rack | int > {} and \
             inventory_hostname is match('web')\n      register: done{number}\n",
            number % 40
        );
    }
    let (inventory, playbook) = (folder.join("hosts.ini"), folder.join("site.yml"));
    std::fs::write(&inventory, hosts).expect("written");
    std::fs::write(&playbook, play).expect("written");
    (inventory, playbook)
}

fn lint(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let (inventory, playbook) = write(folder.path());
    let request = LoadRequest {
        playbooks: vec![playbook],
        inventories: vec![inventory.display().to_string()],
        lists_differences: true,
        ..LoadRequest::new(Dialect::Classic)
    };
    criterion.bench_function("lint 1,000 hosts, 500 tasks", |bencher| {
        bencher.iter(|| {
            let loaded = load(&request).expect("nothing is wrong");
            assert_eq!((loaded.world.host_names().len(), loaded.tasks), (HOSTS, TASKS));
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = lint
}
criterion_main!(benches);
