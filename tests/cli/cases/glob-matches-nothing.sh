eckart inspect model --include 'decoder.*'
