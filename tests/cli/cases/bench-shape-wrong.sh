eckart bench model --shape '*=4x'
