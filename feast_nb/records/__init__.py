"""Records: what happened and what is answered, as frozen dataclasses of plain values."""
