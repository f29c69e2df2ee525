-- The bases of the installation and whether each can be read. The underscore is a wildcard, so it stands in brackets;
-- the product's own master and the ADN Implant base hold no stock.
SELECT name, state_desc
FROM sys.databases
WHERE name LIKE 'DRAGONFISH[_]%'
  AND name NOT IN ('DRAGONFISH_ZOOLOGICMASTER', 'DRAGONFISH_ADNIMPLANT')
