"""Code that modules share. Written for provision, after Ansible's documentation."""
