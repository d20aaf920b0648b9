"""Dashboards as stores: files of tools that show a few contexts of each latent, chosen by the tool, and no corpus."""
