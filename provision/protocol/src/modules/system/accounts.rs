//! Entries: users and groups.

use super::{Kind, ModuleSpec, Parameter, host};

const STATE: &[Parameter] = &[
    Parameter::new("state", Kind::Text, "whether it exists").choices(&["absent", "present"]),
    Parameter::new("local", Kind::Boolean, "use the l* commands of libuser"),
    Parameter::new("system", Kind::Boolean, "create it as a system account"),
    Parameter::new("non_unique", Kind::Boolean, "allow an id that is already in use"),
];

pub(super) const USER: ModuleSpec = host(ModuleSpec::new(
    "user",
    &[
        STATE,
        &[
            Parameter::new("name", Kind::Text, "login name").required().aliases(&["user"]),
            Parameter::new("uid", Kind::Integer, "user id"),
            Parameter::new("group", Kind::Text, "primary group"),
            Parameter::new("groups", Kind::TextList, "supplementary groups"),
            Parameter::new("append", Kind::Boolean, "keep groups that are not listed"),
            Parameter::new("comment", Kind::Text, "full name (GECOS)"),
            Parameter::new("home", Kind::Path, "home folder"),
            Parameter::new("shell", Kind::Path, "login shell"),
            Parameter::new("password", Kind::Text, "encrypted password").secret(),
            Parameter::new("update_password", Kind::Text, "when to set the password")
                .choices(&["always", "on_create"]),
            Parameter::new("password_lock", Kind::Boolean, "lock the password"),
            Parameter::new("password_expire_max", Kind::Integer, "days until it must be changed"),
            Parameter::new("password_expire_min", Kind::Integer, "days until it may be changed"),
            Parameter::new("password_expire_warn", Kind::Integer, "days of warning before that"),
            Parameter::new(
                "password_expire_account_disable",
                Kind::Integer,
                "days until an expired account is disabled",
            ),
            Parameter::new("expires", Kind::Float, "when it expires, in seconds since 1970"),
            Parameter::new("create_home", Kind::Boolean, "create the home folder")
                .aliases(&["createhome"]),
            Parameter::new("move_home", Kind::Boolean, "move the home folder when it changes"),
            Parameter::new("skeleton", Kind::Text, "what a new home folder is copied from"),
            Parameter::new("umask", Kind::Text, "umask of a new home folder"),
            Parameter::new("uid_min", Kind::Integer, "smallest id for a new user"),
            Parameter::new("uid_max", Kind::Integer, "largest id for a new user"),
            Parameter::new("seuser", Kind::Text, "SELinux user"),
            Parameter::new("force", Kind::Boolean, "remove it even if it is in use"),
            Parameter::new("remove", Kind::Boolean, "remove its home folder, too"),
            Parameter::new("generate_ssh_key", Kind::Boolean, "generate an SSH key"),
            Parameter::new("ssh_key_bits", Kind::Integer, "size of the key; 0: the default"),
            Parameter::new("ssh_key_type", Kind::Text, "type of the key"),
            Parameter::new("ssh_key_file", Kind::Path, "file of the key"),
            Parameter::new("ssh_key_comment", Kind::Text, "comment of the key"),
            Parameter::new("ssh_key_passphrase", Kind::Text, "passphrase of the key").secret(),
            Parameter::new("login_class", Kind::Text, "not on Linux"),
            Parameter::new("hidden", Kind::Boolean, "not on Linux"),
            Parameter::new("profile", Kind::Text, "not on Linux"),
            Parameter::new("authorization", Kind::Text, "not on Linux"),
            Parameter::new("role", Kind::Text, "not on Linux"),
        ],
    ],
    "manages a user account",
));

pub(super) const GROUP: ModuleSpec = host(ModuleSpec::new(
    "group",
    &[
        STATE,
        &[
            Parameter::new("name", Kind::Text, "name").required(),
            Parameter::new("gid", Kind::Integer, "group id"),
            Parameter::new("gid_min", Kind::Integer, "smallest id for a new group"),
            Parameter::new("gid_max", Kind::Integer, "largest id for a new group"),
            Parameter::new("force", Kind::Boolean, "remove it even if users have it as primary"),
        ],
    ],
    "manages a group",
));
