//! Every file of our `ansible.module_utils`, by its path in archives.

/// Path and text.
pub(super) const PACKAGE: &[(&str, &str)] = &[
    ("__main__.py", include_str!("../../python/__main__.py")),
    ("ansible/__init__.py", include_str!("../../python/ansible/__init__.py")),
    (
        "ansible/module_utils/__init__.py",
        include_str!("../../python/ansible/module_utils/__init__.py"),
    ),
    ("ansible/module_utils/_text.py", include_str!("../../python/ansible/module_utils/_text.py")),
    (
        "ansible/module_utils/ansible_release.py",
        include_str!("../../python/ansible/module_utils/ansible_release.py"),
    ),
    ("ansible/module_utils/basic.py", include_str!("../../python/ansible/module_utils/basic.py")),
    (
        "ansible/module_utils/common/__init__.py",
        include_str!("../../python/ansible/module_utils/common/__init__.py"),
    ),
    (
        "ansible/module_utils/common/_collections_compat.py",
        include_str!("../../python/ansible/module_utils/common/_collections_compat.py"),
    ),
    (
        "ansible/module_utils/common/collections.py",
        include_str!("../../python/ansible/module_utils/common/collections.py"),
    ),
    (
        "ansible/module_utils/common/dict_transformations.py",
        include_str!("../../python/ansible/module_utils/common/dict_transformations.py"),
    ),
    (
        "ansible/module_utils/common/file.py",
        include_str!("../../python/ansible/module_utils/common/file.py"),
    ),
    (
        "ansible/module_utils/common/json.py",
        include_str!("../../python/ansible/module_utils/common/json.py"),
    ),
    (
        "ansible/module_utils/common/parameters.py",
        include_str!("../../python/ansible/module_utils/common/parameters.py"),
    ),
    (
        "ansible/module_utils/common/process.py",
        include_str!("../../python/ansible/module_utils/common/process.py"),
    ),
    (
        "ansible/module_utils/common/sys_info.py",
        include_str!("../../python/ansible/module_utils/common/sys_info.py"),
    ),
    (
        "ansible/module_utils/common/text/__init__.py",
        include_str!("../../python/ansible/module_utils/common/text/__init__.py"),
    ),
    (
        "ansible/module_utils/common/text/converters.py",
        include_str!("../../python/ansible/module_utils/common/text/converters.py"),
    ),
    (
        "ansible/module_utils/common/text/formatters.py",
        include_str!("../../python/ansible/module_utils/common/text/formatters.py"),
    ),
    (
        "ansible/module_utils/common/validation.py",
        include_str!("../../python/ansible/module_utils/common/validation.py"),
    ),
    (
        "ansible/module_utils/common/warnings.py",
        include_str!("../../python/ansible/module_utils/common/warnings.py"),
    ),
    (
        "ansible/module_utils/compat/__init__.py",
        include_str!("../../python/ansible/module_utils/compat/__init__.py"),
    ),
    (
        "ansible/module_utils/compat/version.py",
        include_str!("../../python/ansible/module_utils/compat/version.py"),
    ),
    (
        "ansible/module_utils/facts/__init__.py",
        include_str!("../../python/ansible/module_utils/facts/__init__.py"),
    ),
    (
        "ansible/module_utils/facts/utils.py",
        include_str!("../../python/ansible/module_utils/facts/utils.py"),
    ),
    (
        "ansible/module_utils/parsing/__init__.py",
        include_str!("../../python/ansible/module_utils/parsing/__init__.py"),
    ),
    (
        "ansible/module_utils/parsing/convert_bool.py",
        include_str!("../../python/ansible/module_utils/parsing/convert_bool.py"),
    ),
    (
        "ansible/module_utils/six/__init__.py",
        include_str!("../../python/ansible/module_utils/six/__init__.py"),
    ),
    ("ansible/module_utils/urls.py", include_str!("../../python/ansible/module_utils/urls.py")),
];

/// What plugins on the controller have beside that.
pub(super) const PLUGINS: &[(&str, &str)] = &[
    ("__main__.py", include_str!("../../python/plugins/serve.py")),
    ("without/jinja2.py", include_str!("../../python/plugins/jinja2.py")),
    ("ansible/errors/__init__.py", include_str!("../../python/plugins/ansible/errors/__init__.py")),
    (
        "ansible/plugins/__init__.py",
        include_str!("../../python/plugins/ansible/plugins/__init__.py"),
    ),
    (
        "ansible/plugins/filter/__init__.py",
        include_str!("../../python/plugins/ansible/plugins/filter/__init__.py"),
    ),
    (
        "ansible/plugins/lookup/__init__.py",
        include_str!("../../python/plugins/ansible/plugins/lookup/__init__.py"),
    ),
    (
        "ansible/plugins/test/__init__.py",
        include_str!("../../python/plugins/ansible/plugins/test/__init__.py"),
    ),
    ("ansible/utils/__init__.py", include_str!("../../python/plugins/ansible/utils/__init__.py")),
    ("ansible/utils/display.py", include_str!("../../python/plugins/ansible/utils/display.py")),
    ("ansible/utils/vars.py", include_str!("../../python/plugins/ansible/utils/vars.py")),
];
