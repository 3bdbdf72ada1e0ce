//! Modules that manage files.
//!
//! What the controller adds to the arguments of a prepared module:
//!
//! | argument | of | is |
//! |---|---|---|
//! | `_content` | `copy`, `template`, `unarchive`, `uri` | the file as a [`crate::ContentReference`] |
//! | `_tree` | `copy`, `assemble` | the entries of a directory, a list of [`crate::TreeEntry`] |
//! | `_original_basename` | `copy`, `template`, `unarchive` | name in a `dest` that is a directory |
//! | `_source` | `copy`, `template` | the controller's path, for `src` and diffs |
//! | `_source_mode` | `copy`, `template` | permission bits, for `mode: preserve` |
//!
//! With `_content` or `_tree` the argument `src` is left out.

use super::{CheckMode, FILE_COMMON, Kind, ModuleScope, ModuleSpec, Parameter, Runs};

const fn file_module(
    name: &'static str,
    parameters: &'static [&'static [Parameter]],
    documentation: &'static str,
) -> ModuleSpec {
    let mut spec = ModuleSpec::new(name, parameters, documentation);
    spec.scope = ModuleScope::Host;
    spec
}

const fn prepared(mut spec: ModuleSpec) -> ModuleSpec {
    spec.runs = Runs::Prepared;
    spec
}

const fn world(mut spec: ModuleSpec) -> ModuleSpec {
    spec.scope = ModuleScope::World;
    spec
}

const fn skips_in_check(mut spec: ModuleSpec) -> ModuleSpec {
    spec.check = CheckMode::Skips;
    spec
}

const fn exclusive(mut spec: ModuleSpec, groups: &'static [&'static [&'static str]]) -> ModuleSpec {
    spec.mutually_exclusive = groups;
    spec
}

const fn one_of(mut spec: ModuleSpec, groups: &'static [&'static [&'static str]]) -> ModuleSpec {
    spec.required_one_of = groups;
    spec
}

const BACKUP: Parameter =
    Parameter::new("backup", Kind::Boolean, "keep a copy of the old file, named with the date");
const VALIDATE: Parameter = Parameter::new(
    "validate",
    Kind::Text,
    "command that must accept the new file, `%s` is its path",
);
const FOLLOW: Parameter =
    Parameter::new("follow", Kind::Boolean, "what a link at the destination points to is meant");
const EDITED_PATH: Parameter = Parameter::new("path", Kind::Path, "file to edit")
    .required()
    .aliases(&["dest", "destfile", "name"]);
const CREATE: Parameter =
    Parameter::new("create", Kind::Boolean, "create the file if it is missing");
const INSERT_AFTER: Parameter =
    Parameter::new("insertafter", Kind::Text, "insert behind the last match, or EOF");
const INSERT_BEFORE: Parameter =
    Parameter::new("insertbefore", Kind::Text, "insert before the last match, or BOF");

const COPY: &[Parameter] = &[
    Parameter::new("src", Kind::Path, "file or directory on the controller"),
    Parameter::new("content", Kind::Raw, "content of the file instead of `src`"),
    Parameter::new("dest", Kind::Path, "where it goes").required(),
    BACKUP,
    Parameter::new("force", Kind::Boolean, "replace a file with other content (default yes)"),
    VALIDATE,
    Parameter::new("directory_mode", Kind::Raw, "mode of directories that are made"),
    Parameter::new("remote_src", Kind::Boolean, "`src` is on the host"),
    Parameter::new(
        "local_follow",
        Kind::Boolean,
        "copy what links in `src` point to (default yes)",
    ),
    FOLLOW,
    Parameter::new("checksum", Kind::Text, "SHA-1 that the source must have"),
    Parameter::new("decrypt", Kind::Boolean, "decrypt vault files (default yes)"),
];

const TEMPLATE: &[Parameter] = &[
    Parameter::new("src", Kind::Path, "template on the controller").required(),
    Parameter::new("dest", Kind::Path, "where the text goes").required(),
    BACKUP,
    Parameter::new("force", Kind::Boolean, "replace a file with other content (default yes)"),
    VALIDATE,
    FOLLOW,
    Parameter::new("newline_sequence", Kind::Text, "line end of the text"),
    Parameter::new("block_start_string", Kind::Text, "default {%"),
    Parameter::new("block_end_string", Kind::Text, "default %}"),
    Parameter::new("variable_start_string", Kind::Text, "default {{"),
    Parameter::new("variable_end_string", Kind::Text, "default }}"),
    Parameter::new("comment_start_string", Kind::Text, "default {#"),
    Parameter::new("comment_end_string", Kind::Text, "default #}"),
    Parameter::new(
        "trim_blocks",
        Kind::Boolean,
        "remove the line end behind a block (default yes)",
    ),
    Parameter::new("lstrip_blocks", Kind::Boolean, "remove blanks before a block"),
    Parameter::new(
        "output_encoding",
        Kind::Text,
        "encoding of the file by its Python name (default utf-8)",
    ),
];

const FILE: &[Parameter] = &[
    Parameter::new("path", Kind::Path, "path to manage").required().aliases(&["dest", "name"]),
    Parameter::new("state", Kind::Text, "what it shall be").choices(&[
        "absent",
        "directory",
        "file",
        "hard",
        "link",
        "touch",
    ]),
    Parameter::new("src", Kind::Path, "what a link points to"),
    Parameter::new("recurse", Kind::Boolean, "attributes also for everything below"),
    Parameter::new("force", Kind::Boolean, "make a link over a file, or to something missing"),
    Parameter::new("follow", Kind::Boolean, "what a link points to is meant (default yes)"),
    Parameter::new("modification_time", Kind::Text, "time, `now` or `preserve`"),
    Parameter::new("modification_time_format", Kind::Text, "its format (default %Y%m%d%H%M.%S)"),
    Parameter::new("access_time", Kind::Text, "time, `now` or `preserve`"),
    Parameter::new("access_time_format", Kind::Text, "its format (default %Y%m%d%H%M.%S)"),
    Parameter::new("_diff_peek", Kind::Boolean, "only say whether the content looks binary"),
    Parameter::new("_original_basename", Kind::Text, "name in a `path` that is a directory"),
];

const STAT: &[Parameter] =
    &[
        Parameter::new("path", Kind::Path, "path to look at").required().aliases(&["dest", "name"]),
        Parameter::new("follow", Kind::Boolean, "what a link points to is meant"),
        Parameter::new("get_checksum", Kind::Boolean, "compute a checksum (default yes)"),
        Parameter::new("get_mime", Kind::Boolean, "ask file(1) what it is (default yes)")
            .aliases(&["mime", "mime_type", "mime-type"]),
        Parameter::new("get_attributes", Kind::Boolean, "ask lsattr(1) (default yes)")
            .aliases(&["attr", "attributes"]),
        Parameter::new("checksum_algorithm", Kind::Text, "default sha1")
            .choices(&["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
            .aliases(&["checksum", "checksum_algo"]),
    ];

const LINEINFILE: &[Parameter] = &[
    EDITED_PATH,
    Parameter::new("state", Kind::Text, "whether the line is there")
        .choices(&["absent", "present"]),
    Parameter::new("regexp", Kind::Text, "line to replace or remove").aliases(&["regex"]),
    Parameter::new("search_string", Kind::Text, "text in the line to replace or remove"),
    Parameter::new("line", Kind::Text, "the line").aliases(&["value"]),
    INSERT_AFTER,
    INSERT_BEFORE,
    Parameter::new("backrefs", Kind::Boolean, "`line` refers to groups of `regexp`"),
    CREATE,
    BACKUP,
    Parameter::new("firstmatch", Kind::Boolean, "insert at the first match instead of the last"),
    VALIDATE,
];

const BLOCKINFILE: &[Parameter] = &[
    EDITED_PATH,
    Parameter::new("state", Kind::Text, "whether the block is there")
        .choices(&["absent", "present"]),
    Parameter::new("marker", Kind::Text, "line around the block; {mark} is BEGIN or END"),
    Parameter::new("block", Kind::Text, "text of the block").aliases(&["content"]),
    INSERT_AFTER,
    INSERT_BEFORE,
    CREATE,
    BACKUP,
    VALIDATE,
    Parameter::new("marker_begin", Kind::Text, "default BEGIN"),
    Parameter::new("marker_end", Kind::Text, "default END"),
    Parameter::new("append_newline", Kind::Boolean, "empty line behind the block"),
    Parameter::new("prepend_newline", Kind::Boolean, "empty line before the block"),
];

const REPLACE: &[Parameter] = &[
    EDITED_PATH,
    Parameter::new("regexp", Kind::Text, "what to replace").required(),
    Parameter::new("replace", Kind::Text, "replacement; nothing removes the match"),
    Parameter::new("after", Kind::Text, "only behind this match"),
    Parameter::new("before", Kind::Text, "only before this match"),
    BACKUP,
    VALIDATE,
    Parameter::new(
        "encoding",
        Kind::Text,
        "encoding of the file by its Python name (default utf-8)",
    ),
];

const FIND: &[Parameter] = &[
    Parameter::new("paths", Kind::List, "directories to search")
        .required()
        .aliases(&["name", "path"]),
    Parameter::new("patterns", Kind::List, "names that match").aliases(&["pattern"]),
    Parameter::new("excludes", Kind::List, "names that do not match").aliases(&["exclude"]),
    Parameter::new("contains", Kind::Text, "regular expression that a line must match"),
    Parameter::new("read_whole_file", Kind::Boolean, "`contains` sees the whole file at once"),
    Parameter::new("file_type", Kind::Text, "default file").choices(&[
        "any",
        "directory",
        "file",
        "link",
    ]),
    Parameter::new("age", Kind::Text, "at least this old; negative: at most"),
    Parameter::new("age_stamp", Kind::Text, "default mtime").choices(&["atime", "ctime", "mtime"]),
    Parameter::new("size", Kind::Text, "at least this large; negative: at most"),
    Parameter::new("recurse", Kind::Boolean, "also in directories below"),
    Parameter::new("hidden", Kind::Boolean, "also names with a leading dot"),
    Parameter::new("follow", Kind::Boolean, "go through links to directories"),
    Parameter::new("get_checksum", Kind::Boolean, "compute SHA-1 of files"),
    Parameter::new("use_regex", Kind::Boolean, "patterns are regular expressions"),
    Parameter::new("depth", Kind::Integer, "how deep to go"),
    Parameter::new("mode", Kind::Raw, "permission bits"),
    Parameter::new("exact_mode", Kind::Boolean, "exactly these bits (default yes)"),
    Parameter::new(
        "encoding",
        Kind::Text,
        "encoding of searched files by its Python name (default utf-8)",
    ),
    Parameter::new("limit", Kind::Integer, "end after so many matches"),
];

const UNARCHIVE: &[Parameter] = &[
    Parameter::new("src", Kind::Path, "archive").required(),
    Parameter::new("dest", Kind::Path, "directory to unpack into").required(),
    Parameter::new("remote_src", Kind::Boolean, "the archive is on the host"),
    Parameter::new("copy", Kind::Boolean, "the archive is on the controller (old name)"),
    Parameter::new("creates", Kind::Path, "do nothing if this exists"),
    Parameter::new("list_files", Kind::Boolean, "return the names of all entries"),
    Parameter::new("keep_newer", Kind::Boolean, "leave files that are newer"),
    Parameter::new("exclude", Kind::TextList, "entries to leave out"),
    Parameter::new("include", Kind::TextList, "only these entries"),
    Parameter::new("extra_opts", Kind::TextList, "options of tar that are understood here"),
    Parameter::new("validate_certs", Kind::Boolean, "has no effect: nothing is downloaded"),
    Parameter::new("io_buffer_size", Kind::Integer, "has no effect"),
    Parameter::new("decrypt", Kind::Boolean, "decrypt vault files (default yes)"),
];

const ASSEMBLE: &[Parameter] = &[
    Parameter::new("src", Kind::Path, "directory with fragments").required(),
    Parameter::new("dest", Kind::Path, "file to make").required(),
    Parameter::new("delimiter", Kind::Text, "text between fragments"),
    BACKUP,
    Parameter::new("remote_src", Kind::Boolean, "`src` is on the host (default yes)"),
    Parameter::new("regexp", Kind::Text, "only fragments whose names match"),
    Parameter::new("ignore_hidden", Kind::Boolean, "leave out names with a leading dot"),
    VALIDATE,
    Parameter::new("decrypt", Kind::Boolean, "decrypt vault files (default yes)"),
];

const FETCH: &[Parameter] = &[
    Parameter::new("src", Kind::Path, "file on the host").required(),
    Parameter::new("dest", Kind::Path, "where it goes on the controller").required(),
    Parameter::new("fail_on_missing", Kind::Boolean, "fail if there is no file (default yes)"),
    Parameter::new("validate_checksum", Kind::Boolean, "compare checksums (default yes)"),
    Parameter::new("flat", Kind::Boolean, "do not add host and path to `dest`"),
];

const INI_FILE: &[Parameter] = &[
    Parameter::new("path", Kind::Path, "file to edit").required().aliases(&["dest"]),
    Parameter::new("section", Kind::Text, "section; none: before the first one"),
    Parameter::new("section_has_values", Kind::List, "only a section that has these options"),
    Parameter::new("option", Kind::Text, "option; none: the whole section"),
    Parameter::new("value", Kind::Text, "value"),
    Parameter::new("values", Kind::List, "values of an option that is given several times"),
    BACKUP,
    Parameter::new("state", Kind::Text, "whether it is there").choices(&["absent", "present"]),
    Parameter::new("exclusive", Kind::Boolean, "remove other values of the option (default yes)"),
    Parameter::new("no_extra_spaces", Kind::Boolean, "no blanks around the equals sign"),
    Parameter::new("ignore_spaces", Kind::Boolean, "other blanks are no change"),
    Parameter::new("create", Kind::Boolean, "create the file if it is missing (default yes)"),
    Parameter::new("allow_no_value", Kind::Boolean, "options without a value"),
    Parameter::new("modify_inactive_option", Kind::Boolean, "use a commented line (default yes)"),
    Parameter::new("follow", Kind::Boolean, "what a link points to is meant"),
];

const XML: &[Parameter] = &[
    Parameter::new("path", Kind::Path, "file").aliases(&["dest", "file"]),
    Parameter::new("xmlstring", Kind::Text, "text instead of a file"),
    Parameter::new("xpath", Kind::Text, "what it is about, in XPath 1.0"),
    Parameter::new("namespaces", Kind::Mapping, "prefixes of xpath and of new names"),
    Parameter::new("state", Kind::Text, "whether it is there")
        .choices(&["absent", "present"])
        .default("present")
        .aliases(&["ensure"]),
    Parameter::new("attribute", Kind::Text, "the value is that of this attribute"),
    Parameter::new("value", Kind::Raw, "text, or value of an attribute"),
    Parameter::new("add_children", Kind::List, "elements to add"),
    Parameter::new("set_children", Kind::List, "elements that are to be there, and no others"),
    Parameter::new("insertbefore", Kind::Boolean, "add before what xpath finds"),
    Parameter::new("insertafter", Kind::Boolean, "add behind what xpath finds"),
    Parameter::new("input_type", Kind::Text, "what children are written in")
        .choices(&["xml", "yaml"])
        .default("yaml"),
    Parameter::new("count", Kind::Boolean, "only count what xpath finds"),
    Parameter::new("print_match", Kind::Boolean, "only say where it is"),
    Parameter::new("content", Kind::Text, "only read attributes or texts")
        .choices(&["attribute", "text"]),
    Parameter::new("pretty_print", Kind::Boolean, "a line for each element"),
    Parameter::new("strip_cdata_tags", Kind::Boolean, "CDATA becomes text"),
    BACKUP,
];

const ARCHIVE: &[Parameter] = &[
    Parameter::new("path", Kind::TextList, "files, folders, patterns").required(),
    Parameter::new("dest", Kind::Path, "archive; needed unless one file is compressed"),
    Parameter::new("format", Kind::Text, "kind of the archive")
        .choices(&["bz2", "gz", "tar", "xz", "zip"])
        .default("gz"),
    Parameter::new("exclude_path", Kind::TextList, "paths and patterns to leave out"),
    Parameter::new("exclusion_patterns", Kind::TextList, "patterns of names to leave out"),
    Parameter::new("force_archive", Kind::Boolean, "an archive even of one file").default("false"),
    Parameter::new("remove", Kind::Boolean, "remove what was packed").default("false"),
];

const HTPASSWD: &[Parameter] = &[
    Parameter::new("path", Kind::Path, "file").required().aliases(&["dest", "destfile"]),
    Parameter::new("name", Kind::Text, "user").required().aliases(&["username"]),
    Parameter::new("password", Kind::Text, "password").secret(),
    Parameter::new("hash_scheme", Kind::Text, "how it is stored")
        .aliases(&["crypt_scheme"])
        .default("apr_md5_crypt"),
    Parameter::new("state", Kind::Text, "whether the user exists")
        .choices(&["absent", "present"])
        .default("present"),
    Parameter::new("create", Kind::Boolean, "make the file if it isn't there").default("true"),
];

pub(super) const MODULES: &[ModuleSpec] = &[
    file_module("archive", &[ARCHIVE, FILE_COMMON], "packs files into an archive"),
    prepared(file_module(
        "assemble",
        &[ASSEMBLE, FILE_COMMON],
        "makes a file of fragments, in the order of their names",
    )),
    world(file_module(
        "async_status",
        &[&[
            Parameter::new("jid", Kind::Text, "job").required(),
            Parameter::new("mode", Kind::Text, "default status").choices(&["cleanup", "status"]),
        ]],
        "looks at a detached call, or forgets it",
    )),
    exclusive(
        file_module(
            "blockinfile",
            &[BLOCKINFILE, FILE_COMMON],
            "inserts, replaces or removes lines between two markers",
        ),
        &[&["insertbefore", "insertafter"]],
    ),
    one_of(
        exclusive(
            prepared(file_module(
                "copy",
                &[COPY, FILE_COMMON],
                "gives files and directories their content",
            )),
            &[&["src", "content"]],
        ),
        &[&["src", "content"]],
    ),
    world(prepared(file_module("fetch", &[FETCH], "gets a file from the host"))),
    file_module("file", &[FILE, FILE_COMMON], "directories, links, permissions, removal"),
    file_module("find", &[FIND], "lists files that meet conditions"),
    file_module("htpasswd", &[HTPASSWD, FILE_COMMON], "manages users of web servers"),
    exclusive(
        file_module("ini_file", &[INI_FILE, FILE_COMMON], "edits options of an INI file"),
        &[&["value", "values"]],
    ),
    exclusive(
        file_module(
            "lineinfile",
            &[LINEINFILE, FILE_COMMON],
            "makes sure that a line is there, or isn't",
        ),
        &[
            &["insertbefore", "insertafter"],
            &["regexp", "search_string"],
            &["backrefs", "search_string"],
        ],
    ),
    file_module(
        "replace",
        &[REPLACE, FILE_COMMON],
        "replaces everything that matches a regular expression",
    ),
    file_module(
        "slurp",
        &[&[Parameter::new("src", Kind::Path, "file to read").required().aliases(&["path"])]],
        "returns a file in base64",
    ),
    file_module("stat", &[STAT], "everything about a file"),
    skips_in_check(file_module(
        "tempfile",
        &[&[
            Parameter::new("state", Kind::Text, "default file").choices(&["directory", "file"]),
            Parameter::new("path", Kind::Path, "where to make it"),
            Parameter::new("prefix", Kind::Text, "beginning of the name (default ansible.)"),
            Parameter::new("suffix", Kind::Text, "end of the name"),
        ]],
        "makes a temporary file or directory",
    )),
    prepared(file_module(
        "template",
        &[TEMPLATE, FILE_COMMON],
        "gives a file the text that a template makes",
    )),
    exclusive(
        prepared(file_module(
            "unarchive",
            &[UNARCHIVE, FILE_COMMON],
            "unpacks tar and zip archives, confined to the destination",
        )),
        &[&["include", "exclude"]],
    ),
    exclusive(
        one_of(
            file_module("xml", &[XML], "looks into XML files and changes them"),
            &[&["path", "xmlstring"]],
        ),
        &[
            &["value", "set_children"],
            &["value", "add_children"],
            &["set_children", "add_children"],
            &["path", "xmlstring"],
            &["insertbefore", "insertafter"],
        ],
    ),
];
