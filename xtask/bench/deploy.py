"""The same deployment for pyinfra; loops are unrolled, unarchive and command are shell."""

from pyinfra import host
from pyinfra.operations import apt, files, server, systemd

DATA = dict(
    ports=[8080, 8081, 8443],
    tick=2000,
    inventory_hostname=host.name,
    ansible_host=host.data.get("ssh_hostname"),
    groups={"all": host.data.get("members")},
)
RELEASE = host.data.get("release")
ROOT = "/srv/shop/releases/" + RELEASE["root"]

files.directory(path="/srv/shop", mode="755")
files.directory(path="/srv/shop/etc", mode="755")
files.directory(path="/srv/shop/data", mode="750")
files.directory(path="/srv/shop/log", mode="755")
files.directory(path="/srv/shop/run", mode="755")
files.directory(path="/srv/shop/www", mode="755")
files.directory(path="/srv/shop/releases", mode="755")
files.directory(path="/srv/shop/cache", mode="755")
files.directory(path="/srv/shop/backup", mode="700")
files.directory(path="/srv/shop/spool", mode="755")
files.directory(path="/srv/shop/share", mode="755")
server.group(group="shop", system=True)
server.group(group="shopadmin", system=True)
server.user(user="shop", group="shop", system=True, shell="/usr/sbin/nologin",
            create_home=False, ensure_home=False)
server.user(user="shopweb", group="shop", system=True, shell="/usr/sbin/nologin",
            create_home=False, ensure_home=False)
server.user(user="shopadmin", group="shopadmin", system=True, shell="/usr/sbin/nologin",
            create_home=False, ensure_home=False)
copy1 = files.put(src="files/limits.conf", dest="/srv/shop/etc/limits.conf", user="shop", mode="640")
copy2 = files.put(src="files/logging.conf", dest="/srv/shop/etc/logging.conf", user="shop", mode="640")
copy3 = files.put(src="files/cache.conf", dest="/srv/shop/etc/cache.conf", user="shop", mode="640")
copy4 = files.put(src="files/queue.conf", dest="/srv/shop/etc/queue.conf", user="shop", mode="640")
copy5 = files.put(src="files/search.conf", dest="/srv/shop/etc/search.conf", user="shop", mode="640")
copy6 = files.put(src="files/mail.conf", dest="/srv/shop/etc/mail.conf", user="shop", mode="640")
copy7 = files.put(src="files/feature-flags.conf", dest="/srv/shop/etc/feature-flags.conf", user="shop", mode="640")
copy8 = files.put(src="files/robots.conf", dest="/srv/shop/etc/robots.conf", user="shop", mode="640")
web = files.template(src="templates/web.conf.j2", dest="/srv/shop/etc/web.conf", mode="644", **DATA)
worker = files.template(src="templates/worker.conf.j2", dest="/srv/shop/etc/worker.conf", mode="644", **DATA)
database = files.template(src="templates/database.conf.j2", dest="/srv/shop/etc/database.conf", mode="644", **DATA)
cluster = files.template(src="templates/cluster.conf.j2", dest="/srv/shop/etc/cluster.conf", mode="644", **DATA)
for site in ("north", "south", "west"):
    files.template(src="templates/site.conf.j2", dest=f"/srv/shop/etc/site-{site}.conf", mode="644",
                   item=site, **DATA)
for site in ("north", "south", "west"):
    files.directory(path=f"/srv/shop/www/{site}", mode="755")
files.line(path="/etc/sysctl.d/90-shop.conf", line=r"^net.core.somaxconn=.*", replace="net.core.somaxconn=1024")
files.line(path="/etc/sysctl.d/90-shop.conf", line=r"^net.ipv4.tcp_keepalive_time=.*", replace="net.ipv4.tcp_keepalive_time=600")
files.line(path="/etc/sysctl.d/90-shop.conf", line=r"^net.ipv4.tcp_fin_timeout=.*", replace="net.ipv4.tcp_fin_timeout=30")
files.line(path="/etc/sysctl.d/90-shop.conf", line=r"^fs.inotify.max_user_watches=.*", replace="fs.inotify.max_user_watches=65536")
files.line(path="/etc/sysctl.d/90-shop.conf", line=r"^kernel.panic=.*", replace="kernel.panic=10")
files.block(path="/etc/profile.d/shop.sh", content="export SHOP_HOME=/srv/shop", marker="# {mark} shop 1",
            try_prevent_shell_expansion=True)
files.block(path="/etc/profile.d/shop.sh", content="export SHOP_LOG=/srv/shop/log", marker="# {mark} shop 2",
            try_prevent_shell_expansion=True)
unit_web = files.template(src="templates/unit.service.j2",
                      dest="/etc/systemd/system/shop-web.service", mode="644", service="web")
unit_worker = files.template(src="templates/unit.service.j2",
                      dest="/etc/systemd/system/shop-worker.service", mode="644", service="worker")
systemd.service(service="shop-web", running=True, enabled=True, daemon_reload=True)
systemd.service(service="shop-worker", running=True, enabled=True)
files.download(src=RELEASE["url"], dest="/srv/shop/releases/release.tar.gz", sha256sum=RELEASE["sha256"],
               mode="644")
server.shell(commands=f"[ -e {ROOT} ] || tar xzf /srv/shop/releases/release.tar.gz -C /srv/shop/releases")
files.link(path="/srv/shop/current", target=ROOT)
apt.packages(packages=["tree", "jq"], no_recommends=True)
server.shell(commands="[ -e /srv/shop/data/initialised ] || touch /srv/shop/data/initialised")
server.shell(commands="systemctl is-active shop-web")
systemd.service(service="shop-web", restarted=True, daemon_reload=True,
                _if=lambda: copy1.did_change() or web.did_change() or unit_web.did_change())
systemd.service(service="shop-worker", restarted=True, daemon_reload=True,
                _if=lambda: worker.did_change() or unit_worker.did_change())
