-- Which database this is. Takes no lock.
select id from omnibox.identity
