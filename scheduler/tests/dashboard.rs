//! The page for browsers in a real one: a headless Chromium, against a daemon on this machine.
//! `cargo xtask test mesos` brings Chromium and runs them; pictures are left in `target/tmp`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod browser;
mod crowd;
mod daemon;

use std::path::Path;
use std::time::Instant;

use browser::Browser;
use crowd::Cluster;
use daemon::Daemon;

#[test]
#[ignore = "needs Chromium: cargo xtask test mesos"]
fn the_page_shows_machines_deployments_and_decisions() {
    let daemon = Daemon::start(24_100, 3);
    let file = daemon.write_app("web", "1", "instances: 4\n");
    daemon.done(&["app", "deploy", &file]);
    let mut page = Browser::open(&format!("http://{}/", daemon.address()));
    page.until("three machines", "document.querySelectorAll('#heat button').length === 3");
    page.until(
        "cores in use",
        "[...document.querySelectorAll('#heat button')].some(one => one.dataset.use !== '0')",
    );
    page.until("it is done", "!!document.querySelector('.deployment[data-state=\"done\"]')");

    daemon.done(&["app", "upgrade", "web", "--version", "2", "--detach"]);
    page.until(
        "an upgrade under way, with how far it is",
        "!!document.querySelector('.deployment[data-state=\"under-way\"] [role=\"progressbar\"]')",
    );
    page.until(
        "both are done",
        "document.querySelectorAll('.deployment[data-state=\"done\"]').length === 2",
    );

    // A version that doesn't run, and why it was taken back.
    let failed = daemon.client(&["app", "upgrade", "web", "--version", "3", "--", "/bin/false"]);
    assert_eq!(failed.status.code(), Some(10));
    page.until(
        "why the upgrade failed",
        "[...document.querySelectorAll('.deployment[data-state=\"failed\"]')]\
         .some(one => one.innerText.includes('of its instances failed'))",
    );
    page.until(
        "why it went back",
        "[...document.querySelectorAll('.deployment')]\
         .some(one => one.innerText.includes('went back from v3'))
         || [...document.querySelectorAll('#decisions tr')]\
         .some(one => one.innerText.includes('it has failed'))",
    );

    daemon.done(&["drain", "m2"]);
    page.until(
        "a machine is emptied",
        "document.querySelector('[data-machine=\"m2\"]').dataset.state.startsWith('drain')",
    );

    // By keyboard: one stop for the tabulator, arrows inside.
    page.evaluate("document.querySelector('#heat [tabindex=\"0\"]').focus()");
    page.press("ArrowRight");
    assert_eq!(page.evaluate("document.activeElement.dataset.machine"), "m2");
    page.press("End");
    assert_eq!(page.evaluate("document.activeElement.dataset.machine"), "m3");
    page.press("Home");
    assert_eq!(page.evaluate("document.activeElement.dataset.machine"), "m1");
    let told = page.evaluate("document.getElementById('machine').innerText");
    assert!(told.as_str().unwrap().contains("m1"), "{told}");
    page.until("it stays there", "document.activeElement.dataset.machine === 'm1'");

    // Another app, and the filter.
    let other = daemon.write_app("other", "1", "instances: 1\n");
    daemon.done(&["app", "deploy", &other]);
    page.until("both apps", "document.querySelectorAll('#filter option').length === 3");
    page.evaluate(
        "{ const filter = document.getElementById('filter'); filter.value = 'other'; \
         filter.dispatchEvent(new Event('change')); }",
    );
    page.until(
        "only decisions of the app",
        "(() => { const rows = [...document.querySelectorAll('#decisions tr')].slice(1); \
         return rows.length > 0 && rows.every(row => row.cells[1].innerText === 'other'); })()",
    );
    page.evaluate(
        "{ const filter = document.getElementById('filter'); filter.value = ''; \
         filter.dispatchEvent(new Event('change')); }",
    );
    page.until("all again", "document.querySelectorAll('#apps tr').length === 3");

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (width, scheme) in [(1400, "light"), (1400, "dark"), (400, "dark"), (400, "light")] {
        page.picture(width, scheme, &folder.join(format!("dashboard-{width}-{scheme}.png")));
        let over = page.evaluate("document.documentElement.scrollWidth - innerWidth");
        assert!(over.as_i64().is_some_and(|over| over <= 0), "{width}: {over} too wide");
    }
    assert!(page.problems().is_empty(), "{:?}", page.problems());
}

#[test]
#[ignore = "needs Chromium: cargo xtask test mesos"]
fn the_page_shows_a_thousand_machines() {
    let cluster = Cluster::start(1000);
    let daemon = Daemon::with(&["--master", cluster.address()]);
    let mut page = Browser::open(&format!("http://{}/", daemon.address()));
    page.until("all machines", "document.querySelectorAll('#heat button').length === 1000");
    let begun = Instant::now();
    let milliseconds = page.evaluate(
        "(async () => { const machines = await ask('/v1/machines'), begun = performance.now(); \
         drawMachines(machines); heat.offsetHeight; return performance.now() - begun; })()",
    );
    eprintln!(
        "1,000 machines drawn again in {milliseconds} ms; asked and drawn in {:?}",
        begun.elapsed()
    );
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    page.picture(1400, "light", &folder.join("dashboard-1000.png"));
    assert!(page.problems().is_empty(), "{:?}", page.problems());
}
