"""What every face of Ion shows, as data and as text: what waits and the command that answers it, following, masking,
timelines, graphs, problems of files. No terminal, no HTML, no click."""
