"""A believable account to look at: a small Belgian bicycle dealer, three people, three years of work.

The project writes it itself, through the application's public commands; every name and number in it is made up. The
door is ``fill_sample_account`` (into an account that is there) or ``open_sample_account`` (opens one as well).
"""

from api.sample.account import SampleSummary, fill_sample_account, open_sample_account

__all__ = ["SampleSummary", "fill_sample_account", "open_sample_account"]
